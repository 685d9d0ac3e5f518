"""Non-negative least squares on fixed directions, by cyclic coordinate descent (hierarchical alternating least squares,
Cichocki & Phan 2009)."""

from torch import Tensor


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
