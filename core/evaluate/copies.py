"""How often each concept stands in a picture: windows over the whole of it, compared with what concepts look like.

A picture encoder says what a window shows, not where things end. So a window counts as a concept where it is more like
it than like any other, and more than halfway from what windows beside the concept look like to what the concept's own
window looks like; both are measured in the picture that the concepts come from. Of windows that overlap the likest is
kept. A search by windows with non-maximum suppression, as detectors had before they learnt to propose boxes.
"""

from collections.abc import Sequence

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


def least_alike(alike: Tensor, windows: Sequence[Window], masks: Tensor) -> Tensor:
    """(K,) how alike a window must be to each concept to count as it.

    Args:
        alike: (W, K) cosines of the windows of the concepts' own picture to the concepts.
        windows: W of them.
        masks: (K, H, W) bool, where the concepts are in it.
    """
    held = torch.stack([masks[:, a:c, b:d].sum((1, 2)) for a, b, c, d in windows]).float()  # (W, K)
    areas = torch.tensor([(c - a) * (d - b) for a, b, c, d in windows]).float()[:, None]
    whole = masks.sum((1, 2)).float()  # (K,)
    fit = held / (areas + whole - held)  # IoU of window and mask
    own = alike.gather(0, fit.argmax(0)[None])[0]
    beside = alike.masked_fill(held > BESIDE * whole, -torch.inf).amax(0)
    # A concept that fills its picture leaves no window beside it; the other concepts' own windows then stand for one.
    others = alike[fit.argmax(0)].fill_diagonal_(-torch.inf).amax(0)
    level = torch.where(beside.isfinite(), beside, others)
    level = torch.where(level.isfinite(), level, torch.zeros_like(level))
    return (own + torch.minimum(level, own)) / 2


def counted(alike: Tensor, windows: Sequence[Window], least: Tensor) -> Tensor:
    """(K,) long: how often each concept stands in a picture.

    Args:
        alike: (W, K) cosines of the picture's windows to the concepts.
        windows: W of them.
        least: (K,) of :func:`least_alike`.
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


def copies_of(
    sources: Tensor, beside: Tensor, own: Sequence[Window], masks: Tensor, drawn: Tensor, windows: Sequence[Window]
) -> Tensor:
    """(K, P) long: how often each of K concepts stands in each of P pictures.

    Args:
        sources: (K, D) features of the concepts.
        beside: (V, D) features of the windows of the picture that they come from.
        own: these windows.
        masks: (K, H, W) bool, the concepts in that picture.
        drawn: (P, W, D) features of the windows of each picture.
        windows: of each of these.
    """
    least = least_alike(similarity(beside[None], sources)[0], own, masks)
    return torch.stack([counted(one, windows, least) for one in similarity(drawn, sources)], dim=1)
