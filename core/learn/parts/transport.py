"""Entropic optimal transport between two distributions over a small grid.

Cuturi, "Sinkhorn Distances", NeurIPS 2013, arXiv 1306.0895; for the divergence Feydy et al., "Interpolating between
Optimal Transport and MMD using Sinkhorn Divergences", AISTATS 2019, arXiv 1810.08278.

The ground cost is the Euclidean distance between cells divided by the grid's diagonal, so that one regularisation
serves every grid; results are in cells again. All is solved in float64. Because every problem shares one cost, the
log-sum-exp over it is a matrix product after the largest potential is taken out, as long as the kernel of the cost is
not too small to be written down; where it is, the potentials so far are put into it.
"""

import math

import torch
from torch import Tensor

from ...devices import exact_device

_SMALLEST_IN_KERNEL = 0.002  # exp(-1 / 0.002) is still a float64
_MOVED = math.exp(100)  # how far potentials move before the kernel is made anew
_TRUSTED = math.exp(150)  # up to here, what a kernel lost to underflow (below exp(-745)) counts less than exp(-145)
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
        (K,) float64, in cells; float32 on a device without float64.
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
    if regularisation < _SMALLEST_IN_KERNEL:
        f, g = _absorbed_potentials(a, b, cost / regularisation, iterations)
        return f * regularisation, g * regularisation
    kernel = torch.exp(-cost / regularisation)  # (n, m)
    log_a, log_b = a.log(), b.log()
    g = torch.zeros_like(b)
    for _ in range(iterations):
        f = -regularisation * _log_product(g / regularisation + log_b, kernel.T)  # (K, n)
        g = -regularisation * _log_product(f / regularisation + log_a, kernel)  # (K, m)
    return f, g


def _log_product(logits: Tensor, kernel: Tensor) -> Tensor:
    """``log sum_i exp(logits_i) kernel_ij``."""
    top = logits.amax(-1, keepdim=True)  # (K, 1)
    return (torch.exp(logits - top) @ kernel).log() + top


def _absorbed_potentials(a: Tensor, b: Tensor, cost: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Potentials over the regularisation, for a cost over the regularisation (n, m) whose own kernel would be zero.

    The kernel ``exp(f_i + g_j - C_ij)`` holds the potentials so far, so that an iteration is two products of a matrix
    and a vector; it is made anew when the potentials have moved by 100 since (log-domain stabilisation: Schmitzer,
    "Stabilized Sparse Scaling Algorithms for Entropy Regularized Transport Problems", arXiv 1610.06519, section 3.1).
    Where a kernel's entry was too small for a float64, it is far too small to count by then.
    """
    # A processor takes one problem after the other, since its caches hold one kernel; anything else all at once.
    together = 1 if a.device.type == "cpu" else len(a)
    parts = [_absorb(x, y, cost, iterations) for x, y in zip(a.split(together), b.split(together), strict=True)]
    return torch.cat([f for f, _ in parts]), torch.cat([g for _, g in parts])


def _absorb(a: Tensor, b: Tensor, cost: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    f, g = _log_iteration(torch.zeros_like(b), a, b, cost)
    kernel = _kernel(f, g, cost)  # (K, n, m)
    u, v = a, b  # what multiplies the kernel's rows and columns to the plan: (K, n) and (K, m)
    for _ in range(iterations - 1):
        rows = (kernel @ v[:, :, None])[:, :, 0]  # (K, n): exp of how far f falls
        columns = ((a / rows)[:, None] @ kernel)[:, 0]  # (K, m)
        least, most = torch.stack(torch.cat([rows, columns], 1).aminmax()).tolist()
        if least > 1 / _MOVED and most < _MOVED:
            u, v = a / rows, b / columns
            continue
        if least > 1 / _TRUSTED and most < _TRUSTED:
            f, g = f - rows.log(), g - columns.log()
        else:  # not finite, or so far off that entries may have counted that the kernel lacks
            f, g = _log_iteration(g + (v / b).log(), a, b, cost)
        kernel, u, v = _kernel(f, g, cost, kernel), a, b
    return f + (u / a).log(), g + (v / b).log()


def _log_iteration(g: Tensor, a: Tensor, b: Tensor, cost: Tensor) -> tuple[Tensor, Tensor]:
    """One iteration in the log domain; potentials and cost over the regularisation."""
    f = -((g + b.log())[:, None] - cost).logsumexp(2)  # (K, n, m) to (K, n)
    return f, -((f + a.log())[:, None] - cost.T).logsumexp(2)  # (K, m, n) to (K, m)


def _kernel(f: Tensor, g: Tensor, cost: Tensor, out: Tensor | None = None) -> Tensor:
    """``exp(f_i + g_j - C_ij)`` (K, n, m), potentials and cost over the regularisation."""
    return torch.sub(f[:, :, None], cost, out=out).add_(g[:, None]).exp_()


def _plan_cost(a: Tensor, b: Tensor, f: Tensor, g: Tensor, cost: Tensor, regularisation: float) -> Tensor:
    """``<T, C>`` (K,), one plan (n, m) after the other in the same memory."""
    values, plan = [], torch.empty_like(cost)
    for mass, wanted, high, low in zip(a, b, f, g, strict=True):
        torch.add(high[:, None], low, out=plan)
        plan.sub_(cost).div_(regularisation).exp_().mul_(mass[:, None]).mul_(wanted)
        values.append(plan.mul_(cost).sum())
    return torch.stack(values)


def _with_gradient(value: Tensor, slope: Tensor, moving: Tensor) -> Tensor:
    own = moving.to(value.device).double()
    found = value + (slope * (own - own.detach())).sum(-1)
    return found if found.device == moving.device else found.float().to(moving.device)


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
    where = exact_device(moving.device)
    distances = grid_distances(grid).to(where)
    diagonal = max(float(distances.max()), 1.0)
    a, b = (rows.detach().to(where).double().clamp_min(_FLOOR) for rows in (moving, target))
    return a / a.sum(-1, keepdim=True), b / b.sum(-1, keepdim=True), distances / diagonal, diagonal
