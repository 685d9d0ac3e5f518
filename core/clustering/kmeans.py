"""k-means, seeded: the plain baseline, given the number of clusters."""

import torch
from torch import Tensor

from .finch import cluster_means


def kmeans(rows: Tensor, count: int, seed: int = 0, *, restarts: int = 4, iterations: int = 50) -> Tensor:
    """Lloyd's algorithm from k-means++ starts; the restart with the least squared error wins.

    Args:
        rows: (n, d), finite.
        count: number of clusters, 1..n.
        seed: of the starts; same seed, same labels.

    Returns:
        (n,) long labels 0..count-1; every cluster has a member.

    Raises:
        ValueError: for a count that does not fit the number of rows, and rows that are not finite.
    """
    if rows.ndim != 2 or not 1 <= count <= len(rows):
        raise ValueError(f"k-means needs 1 to n clusters of rows (n, d), got {count} for {tuple(rows.shape)}")
    rows = rows.float()
    if not torch.isfinite(rows).all():
        raise ValueError("k-means needs finite rows; these hold NaN or infinite values")
    generator = torch.Generator().manual_seed(seed)
    best, least = torch.zeros(len(rows), dtype=torch.long), torch.inf
    for _ in range(restarts):
        labels, error = _lloyd(rows, spread_rows(rows, count, generator), iterations)
        if error < least:
            best, least = labels, error
    return best


def spread_rows(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """``count`` of the rows (n, d), far from one another (k-means++, Arthur & Vassilvitskii 2007): each further one is
    drawn with probability proportional to its squared distance to the nearest one before it."""
    chosen = [int(torch.randint(len(rows), (1,), generator=generator))]
    nearest = _squared(rows, rows[chosen]).squeeze(1)  # (n,)
    for _ in range(count - 1):
        weights = nearest.clone()
        if weights.sum() <= 0:  # only copies of the starts are left: take any other row
            weights = torch.ones_like(weights)
            weights[chosen] = 0
        chosen.append(int(torch.multinomial(weights.double().cpu(), 1, generator=generator)))
        nearest = torch.minimum(nearest, _squared(rows, rows[chosen[-1:]]).squeeze(1))
    return rows[chosen]


def _lloyd(rows: Tensor, centres: Tensor, iterations: int) -> tuple[Tensor, float]:
    labels = _assign(rows, centres)
    for _ in range(iterations):
        centres = cluster_means(rows, labels)
        moved = _assign(rows, centres)
        if torch.equal(moved, labels):
            break
        labels = moved
    return labels, _squared(rows, cluster_means(rows, labels)).gather(1, labels[:, None]).sum().item()


def _assign(rows: Tensor, centres: Tensor) -> Tensor:
    """The nearest centre of every row; a centre that nobody chose takes the row farthest from its own."""
    squared = _squared(rows, centres)  # (n, k)
    nearest, labels = squared.min(1)  # (n,), (n,)
    for empty in (torch.bincount(labels, minlength=len(centres)) == 0).nonzero().flatten().tolist():
        shared = torch.bincount(labels, minlength=len(centres))[labels] > 1
        farthest = int(nearest.masked_fill(~shared, -1).argmax())
        labels[farthest], nearest[farthest] = empty, 0.0
    return labels


def _squared(rows: Tensor, centres: Tensor) -> Tensor:
    return torch.cdist(rows, centres, compute_mode="donot_use_mm_for_euclid_dist").square()
