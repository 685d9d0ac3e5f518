"""Losses on the attention to words in regions, by whose gradient the latent moves; all take maps of a few cells."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

Box = tuple[int, int, int, int]
"""Top, left, bottom, right in cells, the last two behind the last cell."""


def box_of(mask: Tensor) -> Box:
    """The smallest box around the cells of a mask (h, w) that are at least half of its strongest."""
    inside = mask >= mask.max() / 2
    rows, columns = inside.any(1).nonzero().flatten(), inside.any(0).nonzero().flatten()
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def bell(box: Box, grid: tuple[int, int]) -> Tensor:
    """(h, w): a Gaussian over a box, 1 in its middle, whose standard deviation is half of the box's sides."""
    top, left, bottom, right = box
    down = (torch.arange(grid[0]) + 0.5 - (top + bottom) / 2) / ((bottom - top) / 2)  # (h,), -1..1 inside
    across = (torch.arange(grid[1]) + 0.5 - (left + right) / 2) / ((right - left) / 2)  # (w,)
    return torch.exp(-(down[:, None] ** 2 + across[None] ** 2) / 2)


def enhancement(maps: Tensor, mask: Tensor, box: Box, share: float = 0.2) -> Tensor:
    """One minus the mean (B,) of the strongest attention near the middle of a region.

    LoRA-Composer (arXiv 2403.11627), concept enhancement: the mean of the top ``share`` of the box's cells.

    Args:
        maps: (B, h, w), the attention to a word.
        mask: (h, w) in 0..1.
        box: around it.
        share: of the box's cells.
    """
    grid = (maps.shape[-2], maps.shape[-1])
    inside = maps * mask * bell(box, grid).to(maps)  # (B, h, w)
    return 1 - inside.flatten(1).topk(cells_of(box, share), dim=1).values.mean(1)


def filling(maps: Tensor, mask: Tensor) -> Tensor:
    """How far (B,) the highest attention of each row and column is from that of a region filled from edge to edge.

    LoRA-Composer (arXiv 2403.11627), concept enhancement: projections of the map onto both axes.
    """
    inside = maps * mask  # (B, h, w)
    gaps = [(mask.amax(axis) - inside.amax(axis)).abs().mean(-1) for axis in (-1, -2)]
    return gaps[0] + gaps[1]


def straying(own: Tensor, mask: Tensor, box: Box, share: float = 0.2) -> Tensor:
    """The strongest self-attention (B,) from cells of a region to cells outside it.

    LoRA-Composer (arXiv 2403.11627), region constraint: the mean of as many pairs as ``share`` of the box's cells.

    Args:
        own: (B, n, n), each cell's attention to the others.
        mask: (h, w) in 0..1, of n cells.
        box: around it.
        share: of the box's cells.
    """
    inside = mask.flatten()
    pairs = own * inside[:, None] * (1 - inside)[None]  # (B, n, n)
    return pairs.flatten(1).topk(cells_of(box, share), dim=1).values.mean(1)


def refinement(maps: Tensor, masks: Tensor, form: str) -> Tensor:
    """How far (B, R) the attention of each concept lies from its own region and in others'.

    FaR (arXiv 2504.03292) names a localized refinement loss; its form is not known to us. ``mse``: the mean squared
    difference of mask and map, each with maximum one. ``ratio``: the share of the map outside its mask, and that inside
    the masks of other concepts.

    Args:
        maps: (B, R, h, w), not negative.
        masks: (1 or B, R, h, w) in 0..1.
        form: ``mse`` or ``ratio``.
    """
    if form == "mse":
        peak = maps.flatten(2).amax(2).clamp_min(1e-8)[..., None, None]  # (B, R, 1, 1)
        return (masks - maps / peak).square().mean((-2, -1))
    shares = maps / maps.sum((-2, -1), keepdim=True).clamp_min(1e-8)  # (B, R, h, w), each sums to one
    masks = masks.expand_as(maps)
    placed = torch.einsum("bihw,bjhw->bij", shares, masks)  # (B, R, R): of concept i, in region j
    own = placed.diagonal(dim1=1, dim2=2)  # (B, R)
    return 1 - own + placed.sum(2) - own


def cells_of(box: Box, share: float) -> int:
    """A share of a box's cells, at least one."""
    return max(1, math.ceil(share * (box[2] - box[0]) * (box[3] - box[1])))


def best_window(found: Tensor, size: tuple[int, int]) -> tuple[int, int]:
    """Top and left of that window of a size in which a map (h, w) has its largest sum."""
    sums = F.avg_pool2d(found[None, None], size, stride=1)[0, 0]
    top, left = divmod(int(sums.argmax()), sums.shape[1])
    return top, left
