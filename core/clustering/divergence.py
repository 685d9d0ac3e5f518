"""Distances between rows, as matrix products: symmetric Kullback-Leibler, cosine, Euclidean.

Every function takes (n, d) and optionally (m, d) rows and returns (n, m) distances, non-negative, in float32 (float64
for float64 rows). Distances below the rounding error of the product are set to zero, so that equal rows are equal
on every machine and ties fall to the lowest index.
"""

from collections.abc import Callable

import torch
from torch import Tensor

EPS = 1e-12
ROUNDING = 8.0  # multiples of the machine epsilon that count as rounding error

_BLOCK, _TILE = 2**20, 512  # numbers of a block of rows; sides of a tile

Distance = Callable[[Tensor], Tensor]
"""Rows (n, d) to their pairwise distances (n, n)."""


def as_distributions(rows: Tensor, eps: float = EPS) -> Tensor:
    """Rows divided by their sums, then raised to at least ``eps``.

    Args:
        rows: (n, d), non-negative.

    Raises:
        ValueError: for entries that are negative or not finite, and for rows that sum to zero.
    """
    rows = _real(rows)
    if rows.numel() and rows.amin() < 0:
        raise ValueError("rows of a distribution must not be negative; these have entries below 0")
    total = rows.sum(-1, keepdim=True)
    if (total <= 0).any():
        empty = int((total <= 0).sum())
        raise ValueError(f"{empty} of {len(rows)} rows sum to zero and are no distribution")
    return (rows / total).clamp_min_(eps)  # (n, d)


def symmetric_kl(p: Tensor, q: Tensor | None = None, eps: float = EPS) -> Tensor:
    """``[KL(p, q) + KL(q, p)] / 2`` in nats between every two rows.

    With H = sum p log p: ``(H_p + H_q - P log Q^T - log P Q^T) / 2`` (ConceptExpress, arXiv 2407.07077, section 3.2).

    Args:
        p: (n, d), non-negative rows; each is divided by its sum.
        q: (m, d), or None for ``p`` against itself.
    """
    p = as_distributions(p, eps)
    log_p = p.log()  # (n, d)
    entropy = row_products(p, log_p)  # (n,)
    if q is None:
        cross, other = _plus_transpose(p @ log_p.T), entropy  # (n, n)
    else:
        q = as_distributions(q, eps)
        log_q = q.log()  # (m, d)
        other = row_products(q, log_q)  # (m,)
        cross = (p @ log_q.T).add_(log_p @ q.T)  # (n, m)
    scale = max(entropy.abs().max().item(), other.abs().max().item())
    for rows in _blocks(*cross.shape):
        cross[rows] = snap(0.5 * (entropy[rows, None] + other[None] - cross[rows]), scale)
    return cross


def cosine(x: Tensor, y: Tensor | None = None) -> Tensor:
    """``1 - cos`` between every two rows, in 0..2. Rows of zeros are at distance 1 from all."""
    x = torch.nn.functional.normalize(_real(x), dim=-1)
    y = x if y is None else torch.nn.functional.normalize(_real(y), dim=-1)
    return snap(1 - x @ y.T, 1.0)


def euclidean(x: Tensor, y: Tensor | None = None) -> Tensor:
    """Euclidean distance between every two rows."""
    x = _real(x)
    return torch.cdist(x, x if y is None else _real(y), compute_mode="donot_use_mm_for_euclid_dist")


def row_products(x: Tensor, y: Tensor) -> Tensor:
    """(n,), the sums of ``x * y`` along rows (n, d), without a third matrix."""
    return torch.cat([(x[rows] * y[rows]).sum(-1) for rows in _blocks(*x.shape)])


def _plus_transpose(square: Tensor) -> Tensor:
    """A matrix (n, n) plus its transpose, in its own memory, tile by tile: large transposes read memory badly."""
    tiles = [slice(start, start + _TILE) for start in range(0, len(square), _TILE)]
    for number, rows in enumerate(tiles):
        for columns in tiles[: number + 1]:
            both = square[rows, columns] + square[columns, rows].T  # (tile, tile)
            square[rows, columns], square[columns, rows] = both, both.T
    return square


def _blocks(n: int, width: int) -> list[slice]:
    """Slices of rows (n, width) of some 4 MB, so that what is computed of them stays in the processor's caches."""
    step = max(1, _BLOCK // max(1, width))
    return [slice(start, start + step) for start in range(0, n, step)]


def _real(rows: Tensor) -> Tensor:
    if rows.ndim != 2:
        raise ValueError(f"rows must be (n, d), got {tuple(rows.shape)}")
    rows = rows if rows.dtype == torch.float64 else rows.float()
    # The least and the largest are NaN where any value is, and need no matrix of their own.
    if rows.numel() and not torch.isfinite(torch.stack(rows.aminmax())).all():
        raise ValueError(f"rows hold {int((~torch.isfinite(rows)).sum())} values that are NaN or infinite")
    return rows


def snap(distance: Tensor, scale: float) -> Tensor:
    """Zero where the distance is below the rounding error of terms of size ``scale``."""
    return torch.where(distance > noise_of(distance, scale), distance, torch.zeros_like(distance))


def noise_of(distance: Tensor, scale: float) -> float:
    """The rounding error of distances that were computed from terms of size ``scale``."""
    return ROUNDING * torch.finfo(distance.dtype).eps * max(scale, 1.0)
