"""Entropic optimal transport between two distributions over a small grid.

Cuturi, "Sinkhorn Distances", NeurIPS 2013, arXiv 1306.0895; for the divergence Feydy et al., "Interpolating between
Optimal Transport and MMD using Sinkhorn Divergences", AISTATS 2019, arXiv 1810.08278.

The ground cost is the Euclidean distance between cells divided by the grid's diagonal, so that one regularisation
serves every grid; results are in cells again. All is solved in float64 in the log domain. Because every problem
shares one cost, the log-sum-exp over it is a matrix product after the largest potential is taken out, as long as the
kernel of the cost is not too small to be written down.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Sum = Callable[[Tensor], Tensor]


_SMALLEST_IN_KERNEL = 0.002  # exp(-1 / 0.002) is still a float64
_FLOOR = 1e-12  # mass given to empty cells, so that their logarithm exists


def grid_distances(grid: tuple[int, int]) -> Tensor:
    """Euclidean distances between the cells of a grid (h, w), in cells: (h*w, h*w) float64, reading order."""
    y, x = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    cells = torch.stack([y.flatten(), x.flatten()], 1).double()  # (h*w, 2)
    return torch.cdist(cells, cells)


def transport_cost(
    moving: Tensor, target: Tensor, grid: tuple[int, int], regularisation: float = 0.02, iterations: int = 100
) -> Tensor:
    """What it costs to move one distribution onto another: ``<T, C>`` of the entropic plan T.

    The gradient with respect to ``moving`` is its dual potential, as in ConceptExpress; ``target`` gets none. Equal
    distributions still cost a fraction of a cell, since the entropic plan spreads; see :func:`sinkhorn_divergence`.

    Args:
        moving: (K, h*w) non-negative, rows summing to 1.
        target: (K, h*w) likewise.
        grid: (h, w).
        regularisation: entropy weight relative to the grid's diagonal; small is sharp and slow to converge.
        iterations: Sinkhorn iterations.

    Returns:
        (K,) float64, in cells.
    """
    a, b, cost, diagonal = _prepare(moving, target, grid, regularisation)
    with torch.no_grad():
        f, g = potentials(a, b, cost, regularisation, iterations)
        value = _plan_cost(a, b, f, g, cost, regularisation)
    return diagonal * _with_gradient(value, f, moving)


def sinkhorn_divergence(
    moving: Tensor, target: Tensor, grid: tuple[int, int], regularisation: float = 0.02, iterations: int = 100
) -> Tensor:
    """The transport cost without its entropic bias: exactly 0 for equal distributions and least there.

    Arguments and result as for :func:`transport_cost`.
    """
    a, b, cost, diagonal = _prepare(moving, target, grid, regularisation)
    with torch.no_grad():
        pairs = torch.cat([a, a, b]), torch.cat([b, a, b])  # solved together: with the other, and each with itself
        f, g = potentials(*pairs, cost, regularisation, iterations)
        (f, f_a, f_b), (g, g_a, g_b) = f.chunk(3), g.chunk(3)
        slope = f - (f_a + g_a) / 2  # (K, h*w)
        value = (a * slope).sum(-1) + (b * (g - (f_b + g_b) / 2)).sum(-1)
    return diagonal * _with_gradient(value, slope, moving)


def potentials(a: Tensor, b: Tensor, cost: Tensor, regularisation: float, iterations: int) -> tuple[Tensor, Tensor]:
    """Dual potentials (K, n) and (K, m) of the entropic problem between rows of ``a`` and ``b`` (positive).

    The plan is ``a_i b_j exp((f_i + g_j - C_ij) / regularisation)``.
    """
    to_f, to_g = _log_sum_exps(cost, regularisation)
    log_a, log_b = a.log(), b.log()
    g = torch.zeros_like(b)
    for _ in range(iterations):
        f = -regularisation * to_f(g / regularisation + log_b)
        g = -regularisation * to_g(f / regularisation + log_a)
    return f, g


def _log_sum_exps(cost: Tensor, regularisation: float) -> tuple[Sum, Sum]:
    """``logits -> log sum_j exp(logits_j - C_ij / regularisation)``, and the same over i."""
    if regularisation < _SMALLEST_IN_KERNEL:
        scaled = cost / regularisation
        return (lambda x: (x[:, None] - scaled).logsumexp(2)), (lambda x: (x[:, None] - scaled.T).logsumexp(2))
    kernel = torch.exp(-cost / regularisation)  # (n, m)
    return (lambda x: _log_product(x, kernel.T)), (lambda x: _log_product(x, kernel))


def _log_product(logits: Tensor, kernel: Tensor) -> Tensor:
    """``log sum_i exp(logits_i) kernel_ij``."""
    top = logits.amax(-1, keepdim=True)  # (K, 1)
    return (torch.exp(logits - top) @ kernel).log() + top


def _plan_cost(a: Tensor, b: Tensor, f: Tensor, g: Tensor, cost: Tensor, regularisation: float) -> Tensor:
    # (K, n, 1) + (K, 1, m) - (n, m) to (K, n, m)
    plan = torch.exp((f[:, :, None] + g[:, None, :] - cost) / regularisation) * a[:, :, None] * b[:, None, :]
    return (plan * cost).sum((1, 2))


def _with_gradient(value: Tensor, slope: Tensor, moving: Tensor) -> Tensor:
    moving = moving.double()
    return value + (slope * (moving - moving.detach())).sum(-1)


def _prepare(
    moving: Tensor, target: Tensor, grid: tuple[int, int], regularisation: float
) -> tuple[Tensor, Tensor, Tensor, float]:
    cells = grid[0] * grid[1]
    if moving.shape != target.shape or moving.ndim != 2 or moving.shape[1] != cells:
        raise ValueError(
            f"expected two (K, {cells}) for a grid of {grid}, got {tuple(moving.shape)}, {tuple(target.shape)}"
        )
    if not regularisation > 0:
        raise ValueError(f"regularisation must be above 0, got {regularisation}")
    distances = grid_distances(grid).to(moving.device)
    diagonal = max(float(distances.max()), 1.0)
    a, b = (rows.detach().double().clamp_min(_FLOOR) for rows in (moving, target))
    return a / a.sum(-1, keepdim=True), b / b.sum(-1, keepdim=True), distances / diagonal, diagonal
