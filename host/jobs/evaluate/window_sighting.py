"""Where concepts are in pictures, and how often, as a picture encoder sees windows of them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ....core.evaluate.composition import Sighting
from ....core.evaluate.copies import SourceWindows, Window, bounds_of, counted, window_maps, windows_of
from ....core.evaluate.similarity import similarity
from ..vision import picture_features
from .composed_sources import ComposedSource
from .evaluation import squared

BY_WINDOWS = "windows, by CLIP_VISION"


def see_by_windows(
    clip_vision: Any,
    of_sources: Tensor,
    sources: Sequence[ComposedSource],
    pictures: Tensor,
    styles: Tensor,
    side: int,
) -> Sighting:
    """What the picture encoder sees in windows of whole pictures. Styles have empty maps and counts of 0.

    Args:
        clip_vision: the picture encoder.
        of_sources: (K, D) features of the concepts.
        sources: these K concepts in the pictures that they come from.
        pictures: (P, 3, H, W) in 0..1.
        styles: (K,) bool.
        side: pixels of the squares that the encoder is shown.
    """
    counts = torch.zeros(len(sources), len(pictures), dtype=torch.long)
    things = (~styles).nonzero()[:, 0].tolist()
    if not things:
        return Sighting(counts, torch.zeros(*counts.shape, 1, 1))
    looks, size = of_sources[things], (pictures.shape[-2], pictures.shape[-1])
    bounds = bounds_of(looks, _source_windows(clip_vision, [sources[number] for number in things], side))
    windows = windows_of(size)
    drawn = torch.stack([_features(clip_vision, one[None], windows, side) for one in pictures])  # (P, W, D)
    alike = similarity(drawn, looks)  # (P, W, k)
    counts[things] = torch.stack([counted(one, windows, bounds.least) for one in alike], dim=1)
    where = torch.stack([window_maps(one, windows, bounds, size) for one in alike], dim=1)  # (k, P, h, w)
    maps = torch.zeros(*counts.shape, *where.shape[-2:])
    maps[things] = where
    return Sighting(counts, maps * (counts > 0)[..., None, None])  # what does not count as a concept is none


def _source_windows(clip_vision: Any, things: Sequence[ComposedSource], side: int) -> list[SourceWindows]:
    """The windows of each picture that things come from, with the things in it."""
    together: dict[int, list[int]] = {}
    for place, thing in enumerate(things):
        together.setdefault(id(thing.picture), []).append(place)
    found = []
    for places in together.values():
        picture = things[places[0]].picture
        windows = windows_of((picture.shape[-2], picture.shape[-1]))
        masks = torch.stack([things[place].mask for place in places])
        found.append(SourceWindows(_features(clip_vision, picture, windows, side), windows, masks, places))
    return found


def _features(clip_vision: Any, picture: Tensor, windows: Sequence[Window], side: int) -> Tensor:
    """(W, D) of the windows of a picture (1, 3, H, W)."""
    parts = [squared(picture[:, :, top:bottom, left:right], side) for top, left, bottom, right in windows]
    return picture_features(clip_vision, torch.cat(parts))
