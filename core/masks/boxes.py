"""Masks of boxes, and the boxes of masks. A box is left, top, right, bottom, as shares of a picture's sides."""

import torch
from torch import Tensor

Box = tuple[float, float, float, float]


def box_mask(box: Box, height: int, width: int | None = None) -> Tensor:
    """(height, width): the share of each cell that a box covers, 0..1; a square without a width."""
    left, top, right, bottom = box

    def covered(low: float, high: float, cells: int) -> Tensor:
        edges = torch.arange(cells + 1) / cells
        return (edges[1:].clamp(max=high) - edges[:-1].clamp(min=low)).clamp_min(0) * cells  # (cells,)

    return covered(top, bottom, height)[:, None] * covered(left, right, width or height)[None]


def mask_box(mask: Tensor) -> Box | None:
    """The box around what a mask (H, W) in 0..1 covers by half or more; None where that is nothing.

    A cell at the rim that is covered in part moves the edge by its share, so that the box of :func:`box_mask` comes
    back.
    """
    across, down = (_span(mask.float().amax(axis)) for axis in (0, 1))
    if across is None or down is None:
        return None
    return across[0], down[0], across[1], down[1]


def _span(profile: Tensor) -> tuple[float, float] | None:
    """Where a profile (n,) in 0..1 begins and ends, as shares of its length."""
    inside = (profile >= 0.5).nonzero().flatten().tolist()
    if not inside:
        return None
    values = [0.0, *profile.tolist(), 0.0]  # one cell of nothing on either side; cell i is at i + 1
    first, last = inside[0], inside[-1]
    low = first + 1 - values[first + 1] - values[first]
    high = last + values[last + 1] + values[last + 2]
    return max(0.0, low / len(profile)), min(1.0, high / len(profile))
