"""Styles: far enough apart for anyone, and true to the icon's outline."""

import numpy as np
import pytest

from concept_atelier.lab.world.atlas import TILE, load_atlas
from concept_atelier.lab.world.styles import STYLES, few_colours, render, rim

NAMES = ("cat", "rocket", "house", "strawberry", "robot")


def drawn(style, hand="fluent"):
    """The five objects in a style, (5, TILE, TILE, 4) float."""
    return np.stack([np.asarray(load_atlas().icon(name, style, hand)) for name in NAMES]).astype(float)


def solid(pixels):
    return pixels[..., :3][pixels[..., 3] > 200]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("hand", ["noto", "fluent", "twemoji"])
def test_a_style_keeps_the_outline_by_every_hand(style, hand):
    atlas = load_atlas()
    for name, pixels in zip(NAMES, drawn(style, hand), strict=True):
        original = atlas.tiles[atlas.kind(name).row, atlas.hands.index(hand)]
        assert pixels.shape == (TILE, TILE, 4)
        assert np.array_equal(pixels[..., 3], original[..., 3])


def test_sketch_is_grey_and_the_others_are_not():
    spread = {style: np.ptp(solid(drawn(style)), axis=1).mean() for style in STYLES}
    assert spread["sketch"] == 0
    assert min(spread[style] for style in ("flat", "outline", "neon")) > 30


def test_outline_is_pale_and_neon_is_dark_with_a_bright_rim():
    light = {style: np.median(solid(drawn(style)).mean(1)) for style in STYLES}
    assert light["outline"] > light["flat"] + 20 and light["neon"] < light["flat"] - 40
    for pixels in drawn("neon"):
        edge = rim(pixels[..., 3].astype(np.uint8), 6) > 0.5
        inside = (pixels[..., 3] > 200) & ~edge
        edge &= pixels[..., 3] > 200
        assert pixels[edge][:, :3].mean() > pixels[inside][:, :3].mean() + 30


def test_at_scene_size_styles_lie_further_apart_than_hands():
    """The mean colour of an object moves more from style to style than any one style's from hand to hand."""
    means = np.array(
        [[[solid(p).mean(0) for p in drawn(style, hand)] for hand in ("noto", "fluent", "twemoji")] for style in STYLES]
    )
    between_styles = np.linalg.norm(means[:, None] - means[None], axis=-1)[np.triu_indices(len(STYLES), 1)].mean()
    between_hands = np.linalg.norm(means[:, :, None] - means[:, None], axis=-1)[:, [0, 0, 1], [1, 2, 2]].mean()
    assert between_styles > 1.5 * between_hands


def test_flat_has_few_colours():
    icon = load_atlas().icon("pizza", "flat", "noto")
    colours = np.unique(solid(np.asarray(icon)[None]), axis=0)
    assert len(colours) <= 6
    assert len(np.unique(few_colours(icon).reshape(-1, 3), axis=0)) <= 6


def test_an_unknown_style_is_reported():
    with pytest.raises(KeyError, match="no style 'oil'; the world has flat, outline, neon, sketch"):
        render(load_atlas().icon("cat", "flat"), "oil")
