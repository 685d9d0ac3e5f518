"""Non-negative least squares on fixed directions, and its gradient.

The solver is cyclic coordinate descent (hierarchical alternating least squares, Cichocki & Phan 2009). Gradients follow
CRAFT (Fel et al. 2023, arXiv 2211.10154, section 3.4), which differentiates the solution implicitly: on the set S of
active concepts of a row a, u_S = (W_S W_S^T)^-1 W_S a, so that du_S/da is that matrix, and all other codes stay 0.
"""

import torch
from torch import Tensor

RIDGE = 1e-6


def nonnegative_codes(rows: Tensor, directions: Tensor, sweeps: int = 200, tolerance: float = 1e-5) -> Tensor:
    """The codes (n, K) >= 0 whose combination of directions (K, D) is nearest to each of the rows (n, D)."""
    gram, products = directions @ directions.T, rows @ directions.T
    codes = (products / gram.diagonal().clamp(min=1e-12)).clamp(min=0) / max(1, len(directions)) ** 0.5
    for _ in range(sweeps):
        moved = sweep(codes, gram, products)
        change = float((moved - codes).abs().max())
        codes = moved
        if change <= tolerance * max(1e-12, float(codes.abs().max())):
            break
    return codes


def differentiable_codes(rows: Tensor, directions: Tensor) -> Tensor:
    """As :func:`nonnegative_codes`, with gradients to the rows: the active set is found without gradients, and least
    squares on it are solved again with them. Undefined exactly where a concept switches on."""
    with torch.no_grad():
        active = nonnegative_codes(rows, directions, sweeps=2000, tolerance=1e-10) > 0  # (n, K)
    on = active.to(rows)
    gram = directions @ directions.T  # (K, K)
    # Rows and columns of inactive concepts become those of the identity, which leaves their codes at 0.
    eye = torch.eye(len(directions), dtype=rows.dtype, device=rows.device)
    system = gram * on[:, :, None] * on[:, None] + eye * (1 - on)[:, :, None] + RIDGE * eye * on[:, :, None]
    products = (rows @ directions.T) * on  # (n, K)
    return torch.linalg.solve(system, products[..., None])[..., 0]


def sweep(codes: Tensor, gram: Tensor, products: Tensor) -> Tensor:
    """One pass of coordinate descent over the K columns of non-negative codes, on a copy.

    Args:
        codes: (n, K), where to start.
        gram: (K, K) inner products of directions.
        products: (n, K) inner products of rows and directions.
    """
    moved = codes.clone()
    for j in range(moved.shape[1]):
        slope = products[:, j] - moved @ gram[:, j]  # (n,)
        moved[:, j] = (moved[:, j] + slope / gram[j, j].clamp(min=1e-12)).clamp(min=0)
    return moved
