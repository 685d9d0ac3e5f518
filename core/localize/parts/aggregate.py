"""Attention of several grids brought to one grid (ConceptExpress, arXiv 2407.07077, section 3.2)."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from ...attention.resize import resize_maps
from ...attention.selection import Grid
from .settings import LocalizeSettings


def clustering_grid(latent_size: Grid, max_cells: int) -> Grid:
    """The (h, w) that is clustered: the latent's own, or the largest integer fraction of its sides within the limit."""
    fraction = 1
    while (grid := _shrunk(latent_size, fraction))[0] * grid[1] > max_cells:
        fraction += 1
    return grid


def self_grids(grids: Iterable[Grid], settings: LocalizeSettings) -> tuple[Grid, ...]:
    """Which grids of self-attention take part, finest first.

    Those of at least ``least_side`` and at most ``max_cells`` cells; when there are none, the finest within
    ``max_cells``; when there are none either, the coarsest.
    """
    finest_first = sorted(set(grids), key=lambda g: (-g[0] * g[1], g))
    if not finest_first:
        raise ValueError("the model has no self-attention to localise with")
    affordable = [g for g in finest_first if g[0] * g[1] <= settings.max_cells] or finest_first[-1:]
    fitting = [g for g in affordable if min(g) >= settings.least_side] or affordable[:1]
    return tuple(fitting)


def grid_weights(layers: Mapping[Grid, int], grid: Grid, settings: LocalizeSettings) -> dict[Grid, float]:
    """The weight of each grid's mean map.

    Args:
        layers: grid (h, w) of self-attention to its number of layers.
        grid: the clustering grid.

    Returns:
        Number of layers (1 with ``per_grid``) times ``(r / R) ** weight_power`` (sides as square roots of cell counts),
        or times the explicit weights, which go from the finest grid to the coarsest.
    """
    finest_first = sorted(layers, key=lambda g: (-g[0] * g[1], g))
    if settings.grid_weights:
        weights = dict(zip(finest_first, settings.grid_weights, strict=False))
    else:
        cells = grid[0] * grid[1]
        weights = {g: (g[0] * g[1] / cells) ** (settings.weight_power / 2) for g in finest_first}
    return {g: (1 if settings.per_grid else layers[g]) * weight for g, weight in weights.items() if weight > 0}


def aggregate_self_attention(
    maps: Mapping[Grid, Tensor], grid: Grid, weights: Mapping[Grid, float], renormalise: bool = False
) -> Tensor:
    """One row of attention per cell of the clustering grid.

    Key axes are resized bilinearly, query axes take the nearest query, the weighted sum's rows are divided by
    their sums.

    Args:
        maps: grid (h, w) to (h*w, h*w), query by key, the mean over heads and layers; rows sum to one.
        grid: (H, W) of the result.
        weights: grid to weight; grids without one are left out.
        renormalise: bring each resized row to a sum of one before weighting (see :class:`LocalizeSettings`).

    Returns:
        (H*W, H*W) float32, rows sum to one.

    Raises:
        ValueError: when no map has a weight, a map does not fit its grid, or values are not finite or rows empty.
    """
    chosen = {g: w for g, w in weights.items() if g in maps and w > 0}
    if not chosen:
        raise ValueError(f"no self-attention map has a weight: maps on {sorted(maps)}, weights for {sorted(weights)}")
    device = maps[next(iter(chosen))].device
    parts = []
    for source, weight in chosen.items():
        rows = resize_maps(_checked(maps[source], source).unflatten(1, source), grid, "bilinear")  # (h*w, H, W)
        rows = rows.flatten(1)  # (h*w, H*W)
        if renormalise:
            rows = rows / rows.sum(-1, keepdim=True)
        parts.append((rows, nearest_cells(source, grid, device), weight))
    cells = grid[0] * grid[1]
    total = torch.zeros(cells, cells, device=device)
    # Row by row of the grid, so that what is added up stays in the processor's caches.
    for start in range(0, cells, grid[1]):
        queries = slice(start, start + grid[1])
        for rows, nearest, weight in parts:
            total[queries].add_(rows[nearest[queries]], alpha=weight)  # (W, H*W)
        total[queries].div_(total[queries].sum(-1, keepdim=True))
    return total


def nearest_cells(source: Grid, grid: Grid, device: torch.device | None = None) -> Tensor:
    """(H*W,) long: for every cell of ``grid`` the index of the cell of ``source`` in which its centre lies."""
    y, x = (
        ((torch.arange(new, device=device) + 0.5) * old / new).long().clamp_max(old - 1)
        for old, new in zip(source, grid, strict=True)
    )
    return (y[:, None] * source[1] + x[None]).flatten()


def _shrunk(size: Grid, fraction: int) -> Grid:
    return -(-size[0] // fraction), -(-size[1] // fraction)


def _checked(rows: Tensor, source: Grid) -> Tensor:
    cells = source[0] * source[1]
    if rows.shape != (cells, cells):
        shape = tuple(rows.shape)
        raise ValueError(f"self-attention on a {source[0]}x{source[1]} grid must be ({cells}, {cells}), got {shape}")
    rows = rows.float()
    sums = rows.sum(-1)  # (h*w,), not finite where any value of the row is not
    if not torch.isfinite(sums).all():
        raise ValueError(
            f"self-attention on the {source[0]}x{source[1]} grid holds NaN or infinite values; "
            "run the model in float32, or check the picture and the model's weights"
        )
    if (sums <= 0).any():
        raise ValueError(f"self-attention on the {source[0]}x{source[1]} grid has rows that sum to zero")
    return rows
