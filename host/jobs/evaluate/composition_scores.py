"""Scoring a composition from end to end: cut regions out of pictures, look at them, compare, and find what leaked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ....core.evaluate.composition import CompositionScores, Sighting, score_composition
from ....core.evaluate.leaks import narrowed, shares_in_regions
from ....core.evaluate.sources import masked_source
from ....core.messages import listed, there_are
from ..vision import picture_features
from .composed_sources import ComposedSource
from .evaluation import squared
from .named_attributes import NamedAttributes, judge_by_words
from .window_sighting import BY_WINDOWS, see_by_windows

See = Callable[[Sequence[tuple[Tensor, Tensor]], Tensor, Tensor], Sighting | None]
"""Pictures (1, 3, H, W) that K concepts are in, with masks (H, W) bool of them, drawn pictures (P, 3, h, w), and which
concepts are styles (K,) bool, to what is seen; None where a concept is not known."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores and the pictures they are of: sources (K, 3, s, s) and regions (K, P, 3, s, s); ``counted_by`` says what
    found and counted the concepts."""

    scores: CompositionScores
    sources: Tensor
    regions: Tensor
    counted_by: str


def score_pictures(
    clip_vision: Any,
    pictures: Tensor,
    regions: Tensor,
    sources: Sequence[ComposedSource],
    ground: str,
    judge: tuple[str, See] | None = None,
    named: NamedAttributes | None = None,
) -> Scored:
    """Compare each region of pictures with each concept, and find the concepts in each whole picture.

    Of a region the box around what it shows of any concept is compared. A concept whose source and region are whole
    pictures is a style: it has no place, is not counted, and is compared with the whole picture.

    Args:
        clip_vision: the picture encoder.
        pictures: (P, 3, H, W) in 0..1, drawn.
        regions: (K, h, w) masks in 0..1, in the order of the concepts; or (P * K, h, w), those of the first picture,
            then those of the second, and so on.
        sources: K concepts in the pictures that they come from.
        ground: what concepts and regions are on, see :data:`~....core.evaluate.sources.GROUNDS`.
        judge: what finds concepts and judges their attributes, and its name for people; without one, or where it does
            not know a concept, the picture encoder looks at windows.
        named: attributes in words, which are judged in place of the judge's.

    Raises ``ValueError`` for another number of regions than of concepts, and empty ones.
    """
    masks = _sized(regions, sources, pictures)
    side = min(sources[0].picture.shape[-2:])
    alone = torch.cat([_alone(one.picture, one.mask.float(), ground, side) for one in sources])
    of_sources = picture_features(clip_vision, alone)
    whole = (masks > 0.5).flatten(1).all(1).tolist()
    styles = torch.tensor([one.whole and everywhere for one, everywhere in zip(sources, whole, strict=True)])
    seen_by, see = judge or ("", lambda *_: None)
    sighting = see([(one.picture, one.mask) for one in sources], pictures, styles)
    if sighting is None:
        seen_by, sighting = BY_WINDOWS, see_by_windows(clip_vision, of_sources, sources, pictures, styles, side)
    parts = torch.stack(
        [
            _parts(pictures, mask if style else narrowed(mask, sighting.maps), ground, side)
            for mask, style in zip(masks, styles.tolist(), strict=True)
        ]
    )  # (K, P, 3, side, side)
    features = picture_features(clip_vision, parts.flatten(0, 1)).unflatten(0, parts.shape[:2])  # (K, P, D)
    if named is not None:
        there = torch.where(styles[:, None], 1, sighting.counts)
        judged = judge_by_words(clip_vision, named, features, of_sources, there)
        sighting = replace(sighting, attributes=judged)
    shares = shares_in_regions(sighting.maps, _placed(masks, styles))
    names = [source.name for source in sources]
    scores = score_composition(names, features, of_sources, sighting, shares, styles)
    return Scored(scores, alone, parts, seen_by)


def _sized(regions: Tensor, sources: Sequence[ComposedSource], pictures: Tensor) -> Tensor:
    """(K, P, H, W) the regions in each picture, at the size of the pictures. Raises ``ValueError`` for another number
    than of concepts, or of concepts in all pictures, and empty ones."""
    count = len(sources)
    if len(regions) not in (count, count * len(pictures)):
        given = there_are((count, "concept"), (len(pictures), "picture"), (len(regions), "region"))
        raise ValueError(
            f"{given}; connect a mask for each concept, in order, or the regions of all pictures from Read Found "
            "Regions with picture -1"
        )
    names = [source.name for source in sources]
    masks = interpolate(regions.float()[:, None], size=pictures.shape[-2:], mode="nearest")[:, 0]
    masks = masks.unflatten(0, (-1, count)).transpose(0, 1).expand(-1, len(pictures), -1, -1)  # (K, P, H, W)
    empty = [name for name, mask in zip(names, masks, strict=True) if not bool((mask > 0.5).flatten(1).any(1).all())]
    if empty:
        raise ValueError(
            f"the region of {listed(empty)} is empty: Compose Concepts does not know places before sampling that are "
            "found by words; connect Read Found Regions, which reads them after it, or a mask of where each concept "
            "should be"
        )
    return masks


def _alone(picture: Tensor, mask: Tensor, ground: str, side: int) -> Tensor:
    """(1, 3, side, side) what a mask holds of a picture (1, 3, H, W), cut out."""
    return squared(masked_source(picture, mask, ground, crop=True), side).cpu()


def _parts(pictures: Tensor, masks: Tensor, ground: str, side: int) -> Tensor:
    """(P, 3, side, side) what masks (P, H, W) hold of pictures (P, 3, H, W), one each."""
    return torch.cat([_alone(one[None], mask, ground, side) for one, mask in zip(pictures, masks, strict=True)])


def _placed(masks: Tensor, styles: Tensor) -> Tensor:
    """The regions without those of styles, which would leave nothing outside."""
    return masks * ~styles[:, None, None, None]
