"""How some parts were computed before, and how others compute them: what ``bench cost`` compares ours with.

Written from the equations, and only for comparison. Results are those of the parts in ``core``.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ...core.clustering.components import connected_components
from ...core.clustering.divergence import as_distributions
from ...core.clustering.finch import cluster_means


def head_by_head(query: Tensor, key: Tensor, scale: float, chunk: int = 2**22) -> Tensor:
    """The mean attention (B, N, M) over heads, as many heads at once as fit into 16 MB of logits, at least one."""
    batch, heads, n, _ = query.shape
    step = max(1, chunk // (batch * n * key.shape[2]))
    total = torch.zeros(batch, n, key.shape[2])
    for start in range(0, heads, step):
        part = slice(start, start + step)
        total = total + ((query[:, part] * scale) @ key[:, part].transpose(-1, -2)).softmax(-1).sum(1)  # (B, N, M)
    return total / heads


def token_shares(query: Tensor, key: Tensor, scale: float, column: int, chunk: int = 2**21) -> Tensor:
    """The mean attention (B, N) over heads to one key, in blocks of rows that all wait for the backward pass."""
    batch, heads, n, _ = query.shape
    step = max(1, chunk // (batch * heads * key.shape[2]))
    mean = torch.empty(batch, n)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        mean[:, rows] = ((query[:, :, rows] * scale) @ key.mT).softmax(-1)[..., column].sum(1)  # (B, heads, n, M)
    return mean / heads


def divergences(rows: Tensor) -> Tensor:
    """Symmetric Kullback-Leibler divergences (n, n) of rows (n, d), a new matrix for every operation."""
    p = as_distributions(rows)
    log_p = p.log()
    entropy = (p * log_p).sum(1)  # (n,)
    cross = p @ log_p.T
    apart = 0.5 * (entropy[:, None] + entropy[None] - (cross + cross.T))  # (n, n)
    noise = 8 * torch.finfo(apart.dtype).eps * max(entropy.abs().max().item(), 1.0)
    return torch.where(apart > noise, apart, torch.zeros_like(apart))


def finch_by_matrices(rows: Tensor, distance: Callable[[Tensor], Tensor] = divergences) -> list[Tensor]:
    """The labels (n,) of every level of FINCH, finest first, with links as whole matrices of integers."""
    labels, centres, levels = torch.arange(len(rows)), rows, list[Tensor]()
    while True:
        own = torch.eye(len(centres), dtype=torch.bool)
        nearest = distance(centres).masked_fill(own, torch.inf).argmin(1)  # (k,)
        first = nearest[:, None] == torch.arange(len(centres))  # (k, k)
        counts = first.long() + first.T.long() + (nearest[:, None] == nearest[None]).long()
        merged = connected_components((counts > 0) & ~own)
        count = int(merged.max()) + 1
        if levels and count in (1, len(centres)):
            return levels
        labels = merged[labels]
        centres = cluster_means(rows, labels)
        levels.append(labels)
        if count in (1, len(merged)):
            return levels


def log_domain_plans(a: Tensor, b: Tensor, cost: Tensor, regularisation: float, iterations: int) -> Tensor:
    """Entropic plans (K, n, m) between rows of ``a`` and ``b``, every sum a log-sum-exp over K matrices (n, m).

    This is the procedure of ConceptExpress' release (arXiv 2407.07077), in the precision of ``a``.
    """
    log_a, log_b, scaled = a.log(), b.log(), cost / regularisation
    g = torch.zeros_like(b)
    for _ in range(iterations):
        f = -torch.logsumexp((g + log_b)[:, None] - scaled, 2)  # (K, n, m) to (K, n)
        g = -torch.logsumexp((f + log_a)[:, None] - scaled.T, 2)
    return torch.exp(f[:, :, None] + g[:, None] - scaled + log_a[:, :, None] + log_b[:, None])
