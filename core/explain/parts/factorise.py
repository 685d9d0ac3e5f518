"""Factorising rows A ~ U W with non-negative codes U: NMF where W is non-negative too, else semi-NMF."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...clustering.kmeans import spread_rows
from .least_squares import nonnegative_codes, sweep

STARTS, SWEEPS, RIDGE = 4096, 2, 1e-6


def factorise(
    rows: Tensor,
    count: int,
    generator: torch.Generator,
    iterations: int,
    nonnegative: bool,
    tolerance: float = 1e-5,
    on_share: Callable[[float], None] = lambda share: None,
) -> Tensor:
    """Directions W (K, D) of the least ||A - U W||² by alternating U and W, from rows that lie far apart.

    Args:
        rows: A (n, D), non-negative where W shall be.
        iterations: at most; it ends earlier where the error falls by less than ``tolerance`` of itself.
        on_share: called after each with the share of them that is done.
        nonnegative: NMF by hierarchical alternating least squares (Cichocki & Phan 2009). Otherwise semi-NMF (Ding, Li
            & Jordan 2010): W is the least-squares solution.
    """
    few = rows if len(rows) <= STARTS else rows[torch.randperm(len(rows), generator=generator)[:STARTS]]
    directions = spread_rows(few, count, generator).clone()
    directions = _unit(directions + 1e-6 * torch.rand(directions.shape, generator=generator))
    codes = nonnegative_codes(rows, directions, sweeps=10)
    energy, last = float(rows.double().square().sum()), None
    for number in range(iterations):
        on_share(number / iterations)
        directions = _directions(rows, codes, directions, nonnegative)
        products, gram = rows @ directions.T, directions @ directions.T  # (n, K), (K, K)
        for _ in range(SWEEPS):
            codes = sweep(codes, gram, products)
        error = energy - 2 * float((codes * products).double().sum()) + float(((codes.T @ codes) * gram).double().sum())
        if last is not None and last - error <= tolerance * abs(last):
            break
        last = error
    return directions


def _directions(rows: Tensor, codes: Tensor, former: Tensor, nonnegative: bool) -> Tensor:
    """W (K, D) for codes U, at unit length; a concept that no row uses keeps its direction."""
    gram, products = codes.T @ codes, codes.T @ rows  # (K, K), (K, D)
    if nonnegative:
        found = sweep(former.T, gram, products.T).T
    else:
        ridge = RIDGE * gram.diagonal().mean().clamp(min=1e-8) * torch.eye(len(gram))
        found = torch.linalg.solve(gram + ridge, products)
    used = (gram.diagonal() > 0) & (found.norm(dim=1) > 1e-12)
    return _unit(torch.where(used[:, None], found, former))


def _unit(directions: Tensor) -> Tensor:
    return torch.nn.functional.normalize(directions, dim=1)
