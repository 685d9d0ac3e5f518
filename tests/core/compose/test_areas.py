"""Stock area conditioning: which cells each text predicts, how predictions are averaged, and the two baselines."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.backbone import Conditioning
from concept_atelier.core.compose.composer import leave
from concept_atelier.core.compose.composition import Concept, compose
from concept_atelier.core.compose.parts.areas import Area, in_areas, negative_areas, noise_in_areas
from concept_atelier.core.compose.registry import METHODS
from concept_atelier.core.masks.boxes import box_mask

TEXT = Conditioning(torch.zeros(1, 1, 1))
LEFT = (0.0, 0.0, 0.5, 1.0)


def test_weights_fall_off_towards_edges_inside_the_picture():
    row = Area(TEXT, LEFT).weights((16, 16))
    assert row.shape == (16, 8) and torch.equal(row[0], torch.tensor([1, 1, 1, 1, 1, 1, 1, 0.5]))
    middle = Area(TEXT, (0.25, 0.25, 0.75, 0.75), strength=2.0).weights((16, 64))
    rising, long = torch.tensor([0.5, 1, 1, 1, 1, 1, 1, 0.5]), (torch.arange(8) + 1) / 8
    across = torch.cat([long, torch.ones(16), long.flip(0)])
    torch.testing.assert_close(middle, 2 * rising[:, None] * across[None])
    assert torch.equal(Area(TEXT, (0, 0, 1, 1)).weights((4, 6)), torch.ones(4, 6))


@pytest.mark.parametrize(
    ("box", "size", "cells"),
    [
        (LEFT, (8, 12), ((0, 8), (0, 6))),
        ((1 / 3, 0, 2 / 3, 1), (9, 10), ((0, 9), (3, 6))),
        ((0.9, 0.9, 1, 1), (4, 5), ((4, 4), (4, 5))),
        ((0.1, 0, 0.4, 1), (2, 5), ((0, 2), (0, 2))),
    ],
)
def test_cells_are_rounded_as_the_stock_sampler_does(box, size, cells):
    """Length and start each by itself, halves to even numbers, and never beyond the edge."""
    assert tuple((span.start, span.stop) for span in Area(TEXT, box).cells(size)) == cells


def test_predictions_are_averaged_by_weight():
    mask = torch.zeros(4, 4)
    mask[:2] = 1
    areas = [Area(TEXT), Area(TEXT, LEFT, strength=3.0), Area(TEXT, mask=mask, strength=0.5)]
    said = {areas[0]: 1.0, areas[1]: 5.0, areas[2]: -1.0}
    seen = []

    def predict(part, area):
        seen.append(tuple(part.shape[-2:]))
        return torch.full_like(part, said[area])

    found = in_areas(torch.zeros(1, 1, 4, 4), areas, predict)[0, 0]
    assert seen == [(4, 4), (4, 2), (4, 4)]
    above, below = [(1 + 15 - 0.5) / 4.5, 0.5 / 1.5], [(1 + 15) / 4, 1.0]
    expected = torch.tensor([above, above, below, below]).repeat_interleave(2, 1)
    torch.testing.assert_close(found, expected)
    alone = in_areas(torch.ones(1, 1, 4, 4), areas[1:2], predict)[0, 0]
    assert bool((alone[:, :2] == 5).all()) and bool((alone[:, 2:] == 0).all())  # nothing is predicted there


def test_the_negative_text_predicts_the_whole_picture_and_each_box_once():
    negative, mask = Conditioning(torch.ones(1, 1, 1)), torch.ones(2, 2)
    areas = [Area(TEXT), Area(TEXT, LEFT, strength=2.0, end=0.5), Area(TEXT, LEFT), Area(TEXT, mask=mask)]
    whole, left = negative_areas(areas, negative, (8, 8))
    assert whole.box is None and whole.text is negative
    assert left.text is negative and left.box == LEFT and left.strength == 2 and left.end == 0.5


def test_an_area_is_predicted_by_its_own_text_and_by_the_negative(lab_backbone):
    latent, time = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([500])
    prompt, text, negative = (lab_backbone.encode_text([text]) for text in ("a cat and a dog", "a cat", ""))
    areas = [Area(prompt), Area(text, LEFT, end=0.5)]
    with torch.no_grad():
        against, both = noise_in_areas(lab_backbone, latent, time, areas, negative, 0.2)
        later = noise_in_areas(lab_backbone, latent, time, areas, negative, 0.5)
        for found, late, of_whole, of_left in (
            (both, later[1], prompt, text),
            (against, later[0], negative, negative),
        ):
            whole = lab_backbone.predict_noise(latent, time, of_whole)
            left = lab_backbone.predict_noise(latent[..., :8], time, of_left)
            torch.testing.assert_close(found[..., 8:], whole[..., 8:])
            torch.testing.assert_close(found[..., :7], (whole[..., :7] + left[..., :7]) / 2)
            torch.testing.assert_close(found[..., 7], (whole[..., 7] + left[..., 7] / 2) / 1.5)
            torch.testing.assert_close(late, whole)


def composed(backbone, *concepts):
    return compose(backbone, "a cat and a rocket", concepts)


def areas(composition, **changes):
    record = METHODS["area"]
    return record.areas(composition, replace(record.preset("small"), **changes))


def test_boxes_become_areas_and_other_masks_stay_masks(lab_backbone):
    triangle = torch.ones(8, 8).triu()
    box = (0.125, 0.3, 0.7, 1.0)
    composition = composed(
        lab_backbone, Concept("a cat", box_mask(box, 64), weight=0.5), Concept("a rocket", triangle, start=0.2)
    )
    cat, rocket = areas(composition, end=0.6)
    assert cat.box == pytest.approx(box) and cat.mask is None
    assert (cat.strength, cat.start, cat.end) == (0.5, 0.0, 0.6)
    assert rocket.box is None and torch.equal(rocket.mask, triangle)
    assert (rocket.strength, rocket.start, rocket.end) == (1.0, 0.2, 0.6)
    torch.testing.assert_close(cat.text.context, lab_backbone.encode_text(["a cat"]).context)


def test_regions_that_never_count_have_no_area(lab_backbone):
    left, right = box_mask(LEFT, 8), box_mask((0.5, 0, 1, 1), 8)
    composition = composed(lab_backbone, Concept("a cat", left, weight=0), Concept("a rocket", right, start=0.5))
    assert areas(composition, end=0.5) == ()


def test_an_area_needs_a_region(lab_backbone):
    composition = composed(lab_backbone, Concept("a cat"), Concept("a rocket", box_mask(LEFT, 8)))
    with pytest.raises(ValueError, match="'a cat' has no region, and stock area conditioning finds none"):
        areas(composition)


@pytest.mark.parametrize("name", ["area", "plain"])
def test_baselines_leave_the_model_as_it_is(lab_backbone, name):
    record = METHODS[name]
    composition = composed(lab_backbone, Concept("a cat", box_mask(LEFT, 8)))
    run = record.begin(composition, record.preset("paper"), lambda timestep: 0.0)
    assert run.edit is leave and run.before is None and run.layers is None
    assert len(record.areas(composition, record.preset("paper"))) == (name == "area")
