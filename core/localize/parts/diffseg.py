"""DiffSeg: segments by merging attention maps that say nearly the same.

"Diffuse, Attend, and Segment: Unsupervised Zero-Shot Segmentation using Stable Diffusion", CVPR 2024,
arXiv 2308.12469, section 3.2. A grid of anchors each gathers the cells whose attention is near its own; the gathered
maps are merged greedily, a few times over; every cell goes to the map that is highest there.
"""

import torch
from torch import Tensor

from ...attention.selection import Grid
from ...clustering.divergence import symmetric_kl


def diffseg(attention: Tensor, grid: Grid, anchors: int = 16, threshold: float = 0.9, iterations: int = 3) -> Tensor:
    """The segment of every cell.

    Args:
        attention: (h*w, h*w), rows sum to one.
        grid: (h, w).
        anchors: along each side; at most the cells there are.
        threshold: maps at a smaller symmetric Kullback-Leibler divergence (nats) are merged; the larger, the fewer
            segments.
        iterations: the gathering by anchors and the merging passes after it, together; 1 only gathers.

    Returns:
        (h*w,) long labels 0..k-1, in the order of each segment's first cell.

    Raises:
        ValueError: for fewer than one anchor or iteration, or a negative threshold.
    """
    if min(anchors, iterations) < 1 or threshold < 0:
        raise ValueError(
            f"anchors and iterations must be at least 1 and the threshold 0 or more, got {anchors}, {iterations} "
            f"and {threshold:g}"
        )
    maps = gather(attention, attention[anchor_cells(grid, anchors).to(attention.device)], threshold)
    for _ in range(iterations - 1):
        merged = merge_once(maps, threshold)
        if len(merged) == len(maps):
            break
        maps = merged
    return _in_order(maps.argmax(0))


def anchor_cells(grid: Grid, anchors: int) -> Tensor:
    """Indices of the cells at the middles of an even division of the grid into anchors x anchors parts."""
    rows, columns = (
        ((torch.arange(min(anchors, side)) + 0.5) * side / min(anchors, side)).long().clamp_max(side - 1)
        for side in grid
    )
    return (rows[:, None] * grid[1] + columns[None]).flatten()


def gather(rows: Tensor, anchors: Tensor, threshold: float) -> Tensor:
    """(K, d), for each anchor map the mean of all rows (n, d) nearer than the threshold; its own map, when none is."""
    near = (symmetric_kl(anchors, rows) < threshold).to(rows)  # (K, n)
    number = near.sum(1, keepdim=True)  # (K, 1)
    return torch.where(number > 0, near @ rows / number.clamp_min(1), anchors)


def merge_once(maps: Tensor, threshold: float) -> Tensor:
    """Take the first map that no other has absorbed and average all near it; again, until none is left.

    Maps absorbed before still count in the average, but start none of their own.
    """
    near = symmetric_kl(maps) < threshold  # (K, K)
    near.fill_diagonal_(True)
    free, merged = torch.ones(len(maps), dtype=torch.bool, device=maps.device), []
    for index in range(len(maps)):
        if free[index]:
            merged.append(maps[near[index]].mean(0))
            free &= ~near[index]
    return torch.stack(merged)


def _in_order(labels: Tensor) -> Tensor:
    """Labels numbered anew by their first appearance."""
    seen = list(dict.fromkeys(labels.tolist()))
    number = torch.zeros(max(seen) + 1, dtype=torch.long, device=labels.device)
    number[torch.tensor(seen, device=labels.device)] = torch.arange(len(seen), device=labels.device)
    return number[labels]
