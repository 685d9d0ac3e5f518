"""How often each concept stands in a picture: windows over the whole of it, compared with what concepts look like.

A picture encoder says what a window shows, not where things end. So a window counts as a concept where it is more like
it than like any other, and more than halfway from what windows beside the concept look like to what the concept's own
window looks like; both are measured in the picture that the concepts come from. Of windows that overlap the likest is
kept. A search by windows with non-maximum suppression, as detectors had before they learnt to propose boxes. The same
windows say where in the picture a concept is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .similarity import similarity

SIDES = (0.3, 0.45, 0.65)
"""Sides of the square windows, as shares of the picture's shorter side."""
STEPS = 3
"""Windows that begin within one side of a window."""
SHARED = 0.05
"""Share of the smaller of two windows that both may hold and still show two things: less than a rim."""
BESIDE = 0.1
"""Share of a concept's mask that a window beside it may hold."""
CELLS = 64
"""Cells of the longer side of a map made of windows."""
LEAST_SPAN = 1e-3
"""Least cosine between a concept's own window and what lies beside it: below, nothing tells the two apart."""

Window = tuple[int, int, int, int]
"""top, left, bottom, right."""


def windows_of(size: tuple[int, int], sides: Sequence[float] = SIDES) -> list[Window]:
    """Square windows of several sizes over a picture of (H, W) pixels, evenly spread up to its edges."""
    found: list[Window] = []
    for share in sides:
        side = max(1, round(share * min(size)))
        rows, columns = (_starts(length, side) for length in size)
        found += [(top, left, top + side, left + side) for top in rows for left in columns]
    return found


def _starts(length: int, side: int) -> list[int]:
    count = -(-(length - side) * STEPS // side) + 1
    return sorted({round(float(at)) for at in torch.linspace(0, length - side, count)})


@dataclass(frozen=True, eq=False)
class SourceWindows:
    """A picture that concepts come from, in windows.

    Attributes:
        features: (V, D) of the windows.
        windows: V of them.
        masks: (k, H, W) bool, where k of the K concepts are in it.
        concepts: the numbers of these k, from 0.
    """

    features: Tensor
    windows: Sequence[Window]
    masks: Tensor
    concepts: Sequence[int]


@dataclass(frozen=True, eq=False)
class Bounds:
    """What windows of each concept's own picture look like, by their cosines to the concept.

    Attributes:
        own: (K,) of the concept's own window.
        beside: (K,) of what else is most like it, ``own`` at most.
    """

    own: Tensor
    beside: Tensor

    @property
    def least(self) -> Tensor:
        """(K,) how alike a window must be to a concept to count as it: halfway between the two."""
        return (self.own + self.beside) / 2


def bounds_of(sources: Tensor, pictures: Sequence[SourceWindows]) -> Bounds:
    """The bounds of K concepts.

    Args:
        sources: (K, D) features of the concepts.
        pictures: that they come from; each concept in one of them.
    """
    count = len(sources)
    owns, beside = torch.zeros(count, count), torch.full((count,), -torch.inf)
    together = torch.zeros(count, count, dtype=torch.bool)
    for picture in pictures:
        numbers = list(picture.concepts)
        alike = similarity(picture.features[None], sources)[0]  # (V, K)
        held, fit = _held(picture)
        owns[numbers] = alike[fit.argmax(0)]  # the own window of each of these to all concepts
        beside[numbers] = alike[:, numbers].masked_fill(held > BESIDE, -torch.inf).amax(0)
        together[torch.tensor(numbers)[:, None], numbers] = True
    own = owns.diagonal().clone()
    elsewhere = owns.masked_fill(together, -torch.inf).amax(0)  # own windows of the concepts of other pictures
    level = torch.maximum(beside, elsewhere)
    # A concept that fills its picture leaves no window beside it; the other concepts' own windows then stand for one.
    others = owns.fill_diagonal_(-torch.inf).amax(0)
    level = torch.where(level.isfinite(), level, others)
    level = torch.where(level.isfinite(), level, torch.zeros_like(level))
    return Bounds(own, torch.minimum(level, own))


def _held(picture: SourceWindows) -> tuple[Tensor, Tensor]:
    """(V, k) which share of each mask a window holds, and (V, k) the IoU of window and mask."""
    held = torch.stack([picture.masks[:, a:c, b:d].sum((1, 2)) for a, b, c, d in picture.windows]).float()
    areas = torch.tensor([(c - a) * (d - b) for a, b, c, d in picture.windows]).float()[:, None]
    whole = picture.masks.sum((1, 2)).float()  # (k,)
    return held / whole, held / (areas + whole - held)


def counted(alike: Tensor, windows: Sequence[Window], least: Tensor) -> Tensor:
    """(K,) long: how often each concept stands in a picture.

    Args:
        alike: (W, K) cosines of the picture's windows to the concepts.
        windows: W of them.
        least: (K,) of :class:`Bounds`.
    """
    best, nearest = (alike - least).max(1)  # (W,)
    counts = [0] * alike.shape[1]
    kept: list[Window] = []
    for number in best.argsort(descending=True).tolist():
        if best[number] < 0:
            break
        if all(_shared(windows[number], other) <= SHARED for other in kept):
            kept.append(windows[number])
            counts[int(nearest[number])] += 1
    return torch.tensor(counts)


def _shared(one: Window, other: Window) -> float:
    """How much of the smaller of two windows lies in both."""
    down = min(one[2], other[2]) - max(one[0], other[0])
    across = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return max(down, 0) * max(across, 0) / smaller


def window_maps(
    alike: Tensor, windows: Sequence[Window], bounds: Bounds, size: tuple[int, int], cells: int = CELLS
) -> Tensor:
    """(K, h, w) where each concept is in a picture, as far as windows say, zero or more.

    Each window speaks for the concept that it is most like, by how far it is from what lies beside the concept in its
    own picture (0) to the concept's own window (1). A cell has the mean over the windows that hold it, as saliency by
    random masks does (RISE, arXiv 1806.07421, equation 1), less half of the highest mean: windows that hold a part of a
    thing blur its edge.

    Args:
        alike: (W, K) cosines of the picture's windows to the concepts.
        windows: W of them.
        bounds: of the concepts.
        size: (H, W) of the picture in pixels.
        cells: of the longer side of the map.
    """
    between = (alike - bounds.beside) / (bounds.own - bounds.beside).clamp_min(LEAST_SPAN)  # (W, K)
    nearest = torch.nn.functional.one_hot(between.argmax(1), between.shape[1])
    said = between.clamp(0, 1) * nearest  # (W, K)
    held = _cover(windows, size, cells).to(said)  # (W, h, w)
    means = torch.einsum("wk,whv->khv", said, held) / held.sum(0).clamp_min(1)
    return (means - means.amax((1, 2), keepdim=True) / 2).clamp_min(0)


def _cover(windows: Sequence[Window], size: tuple[int, int], cells: int) -> Tensor:
    """(W, h, w) bool: the cells whose middle each window holds."""
    height, width = size
    scale = max(size) / cells
    rows = (torch.arange(max(1, round(height / scale))) + 0.5) * scale  # pixels
    columns = (torch.arange(max(1, round(width / scale))) + 0.5) * scale
    top, left, bottom, right = torch.tensor(windows).float().T[..., None]
    down = (rows >= top) & (rows < bottom)  # (W, h)
    across = (columns >= left) & (columns < right)
    return down[:, :, None] & across[:, None, :]
