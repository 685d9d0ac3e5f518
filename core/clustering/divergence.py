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
    if (rows < 0).any():
        raise ValueError("rows of a distribution must not be negative; these have entries below 0")
    total = rows.sum(-1, keepdim=True)
    if (total <= 0).any():
        empty = int((total <= 0).sum())
        raise ValueError(f"{empty} of {len(rows)} rows sum to zero and are no distribution")
    return (rows / total).clamp_min(eps)


def symmetric_kl(p: Tensor, q: Tensor | None = None, eps: float = EPS) -> Tensor:
    """``[KL(p, q) + KL(q, p)] / 2`` in nats between every two rows.

    With H = sum p log p: ``(H_p + H_q - P log Q^T - log P Q^T) / 2`` (ConceptExpress, arXiv 2407.07077, section 3.2).

    Args:
        p: (n, d), non-negative rows; each is divided by its sum.
        q: (m, d), or None for ``p`` against itself.
    """
    p = as_distributions(p, eps)
    log_p = p.log()
    entropy = (p * log_p).sum(-1)  # (n,)
    if q is None:
        cross = p @ log_p.T  # (n, n)
        cross, other = cross + cross.T, entropy
    else:
        q = as_distributions(q, eps)
        log_q = q.log()
        other = (q * log_q).sum(-1)
        cross = p @ log_q.T + log_p @ q.T  # (n, m)
    scale = max(entropy.abs().max().item(), other.abs().max().item())
    return _snap(0.5 * (entropy[:, None] + other[None] - cross), scale)


def cosine(x: Tensor, y: Tensor | None = None) -> Tensor:
    """``1 - cos`` between every two rows, in 0..2. Rows of zeros are at distance 1 from all."""
    x = torch.nn.functional.normalize(_real(x), dim=-1)
    y = x if y is None else torch.nn.functional.normalize(_real(y), dim=-1)
    return _snap(1 - x @ y.T, 1.0)


def euclidean(x: Tensor, y: Tensor | None = None) -> Tensor:
    """Euclidean distance between every two rows."""
    x = _real(x)
    return torch.cdist(x, x if y is None else _real(y), compute_mode="donot_use_mm_for_euclid_dist")


def _real(rows: Tensor) -> Tensor:
    if rows.ndim != 2:
        raise ValueError(f"rows must be (n, d), got {tuple(rows.shape)}")
    rows = rows if rows.dtype == torch.float64 else rows.float()
    if not torch.isfinite(rows).all():
        raise ValueError(f"rows hold {int((~torch.isfinite(rows)).sum())} values that are NaN or infinite")
    return rows


def _snap(distance: Tensor, scale: float) -> Tensor:
    """Zero where the distance is below the rounding error of terms of size ``scale``."""
    noise = ROUNDING * torch.finfo(distance.dtype).eps * max(scale, 1.0)
    return torch.where(distance > noise, distance, torch.zeros_like(distance))
