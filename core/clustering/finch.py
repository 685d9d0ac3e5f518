"""FINCH: clustering by first neighbours, without a number of clusters and without thresholds.

Sarfraz et al., "Efficient Parameter-free Clustering Using First Neighbor Relations", CVPR 2019, equation 1; with the
linked distances, the distance cut and the adjacency of ConceptExpress (arXiv 2407.07077, section 3.2).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .components import components_of_pairs
from .divergence import Distance, cosine

_BLOCK = 2**20  # distances looked through at once: 4 MB


class Distances(Protocol):
    """Distances between k rows, where not all of them are computed."""

    def __len__(self) -> int: ...
    def nearest(self) -> Tensor:
        """(k,), the nearest other row of each, the lowest of equals."""
        ...

    def of(self, pairs: Tensor) -> Tensor:
        """(L,), the distances of pairs (L, 2) of rows."""
        ...


@dataclass(frozen=True, eq=False)
class Level:
    """One partition.

    Attributes:
        labels: (n,) long, 0..k-1 for the n original rows, in the order of each cluster's first row.
        centres: (k, d), the mean of the *original* rows of each cluster.
        linked: the largest (distance x link count) over the links that made this partition, measured between the
            clusters of the level before (between rows, for the first); mutual neighbours count twice. 0 without links.
    """

    labels: Tensor
    centres: Tensor
    linked: float

    @property
    def count(self) -> int:
        """Number of clusters k."""
        return len(self.centres)


def finch(
    rows: Tensor,
    distance: Callable[[Tensor], Tensor | Distances] = cosine,
    *,
    cut: float | None = None,
    adjacency: Tensor | None = None,
    early_exit: bool = False,
    keep_single: bool = False,
) -> list[Level]:
    """All partitions of the rows, finest first; each merges whole clusters of the one before.

    Passes go on until one gives a single cluster or merges nothing; that pass is dropped, unless it is the first.

    Args:
        rows: (n, d), n >= 1.
        distance: rows (k, d) to distances (k, k), or to those that are asked for.
        cut: links longer than this are removed, at every pass.
        adjacency: (n, n) bool; two clusters may be linked only when some of their rows are adjacent. Neighbours are
            still looked for among all: a cluster whose first neighbour is not adjacent stays alone.
        early_exit: from the second pass on, remove links longer than the longest of the first pass.
        keep_single: keep a last pass that merges everything into one cluster; sensible with a cut or an adjacency,
            without which every clustering ends there.

    Raises:
        ValueError: for no rows, rows that are not finite, or an adjacency of another size.
    """
    if rows.ndim != 2 or len(rows) == 0:
        raise ValueError(f"FINCH needs at least one row (n, d), got {tuple(rows.shape)}")
    if adjacency is not None and adjacency.shape != (len(rows), len(rows)):
        raise ValueError(f"adjacency must be ({len(rows)}, {len(rows)}) for {len(rows)} rows, got {adjacency.shape}")
    labels, centres, levels = torch.arange(len(rows), device=rows.device), rows, list[Level]()
    while True:
        links, linked = first_neighbour_links(distance(centres), cut, between_clusters(adjacency, labels))
        merged = components_of_pairs(len(centres), links)
        count = int(merged.max()) + 1
        if levels and (count == len(centres) or (count == 1 and not keep_single)):
            return levels
        labels = merged[labels]
        centres = cluster_means(rows, labels)
        levels.append(Level(labels, centres, linked))
        if count == 1 or count == len(merged):
            return levels
        if early_exit and len(levels) == 1:
            cut = linked if cut is None else min(cut, linked)


def first_neighbour_links(
    distances: Tensor | Distances, cut: float | None = None, allowed: Tensor | None = None
) -> tuple[Tensor, float]:
    """Links of equation 1: one is the first neighbour of the other, or both have the same one.

    Args:
        distances: (k, k) symmetric; the diagonal is ignored. Or what knows them.
        cut: links with a longer distance are removed.
        allowed: (k, k) bool; other links are removed.

    Returns:
        (L, 2) long, each link once, lower index first; and the largest distance x count over them: the counts are
        those of ``(I + N)(I + N)^T``, which are 1, or 2 for mutual neighbours.
    """
    k = len(distances)
    if k == 1:
        return torch.zeros(0, 2, dtype=torch.long, device=getattr(distances, "device", None)), 0.0
    nearest = first_neighbours(distances) if isinstance(distances, Tensor) else distances.nearest()  # (k,)
    own = torch.arange(k, device=nearest.device)
    numbers = torch.minimum(own, nearest) * k + torch.maximum(own, nearest)  # (k,), a number for each pair
    numbers, mutual = torch.unique(numbers, return_counts=True)  # both (P,), P <= k
    shared = pairs_within(nearest)  # (S, 2)
    links = torch.cat([torch.stack([numbers // k, numbers % k], 1), shared])  # (P + S, 2)
    counts = torch.cat([mutual, torch.ones_like(shared[:, 0])])
    apart = distances[links[:, 0], links[:, 1]] if isinstance(distances, Tensor) else distances.of(links)  # (P + S,)
    kept = torch.ones_like(counts, dtype=torch.bool) if cut is None else apart <= cut
    if allowed is not None:
        kept &= allowed[links[:, 0], links[:, 1]]
    weighted = (apart * counts)[kept]
    return links[kept], weighted.max().item() if weighted.numel() else 0.0


def first_neighbours(distances: Tensor) -> Tensor:
    """(k,), the nearest other row of each in distances (k, k), the lowest of equals."""
    k = len(distances)
    step = max(1, _BLOCK // k)
    nearest = []
    for start in range(0, k, step):
        block = distances[start : start + step].clone()  # (rows, k): a copy, since the distances are not ours
        block.diagonal(start).fill_(torch.inf)
        nearest.append(block.argmin(1))
    return torch.cat(nearest)


def pairs_within(groups: Tensor) -> Tensor:
    """(S, 2) long, every two members of the same group once, the lower first; groups (k,) long numbers."""
    order = torch.argsort(groups, stable=True)  # (k,), group by group
    _, inverse, sizes = torch.unique(groups, return_inverse=True, return_counts=True)
    place = torch.arange(len(groups), device=groups.device)
    later = sizes.cumsum(0)[inverse[order]] - 1 - place  # (k,), how many of its group come after each
    first = place.repeat_interleave(later)  # (S,)
    behind = torch.arange(len(first), device=groups.device) - (later.cumsum(0) - later)[first]
    return torch.stack([order[first], order[first + 1 + behind]], 1)


def between_clusters(adjacency: Tensor | None, labels: Tensor) -> Tensor | None:
    """Adjacency of rows (n, n) to adjacency of their clusters (k, k): any row of one beside any row of the other."""
    if adjacency is None:
        return None
    member = torch.nn.functional.one_hot(labels).to(torch.float32)  # (n, k)
    joined = member.T @ adjacency.to(torch.float32) @ member > 0  # (k, n) @ (n, n) @ (n, k)
    return joined | joined.T


def cluster_means(rows: Tensor, labels: Tensor) -> Tensor:
    """(k, d), the mean of the rows (n, d) of every label 0..k-1."""
    count = int(labels.max()) + 1
    sums = torch.zeros(count, rows.shape[1], dtype=rows.dtype, device=rows.device).index_add_(0, labels, rows)
    return sums / torch.bincount(labels, minlength=count)[:, None]


def last_with_at_least(levels: list[Level], minimum: int) -> int | None:
    """Index of the coarsest level that still has ``minimum`` clusters; None when not even the first has."""
    fitting = [index for index, level in enumerate(levels) if level.count >= minimum]
    return fitting[-1] if fitting else None


def merge_to_count(
    rows: Tensor, labels: Tensor, count: int, distance: Distance = cosine, adjacency: Tensor | None = None
) -> Tensor:
    """Merge the closest two clusters, again and again, until ``count`` are left.

    Adjacent pairs go first when an adjacency (n, n) of the rows is given; others follow only when none are left.

    Returns:
        (n,) long labels 0..count-1 in the order of each cluster's first row; unchanged when there are fewer already.
    """
    if count < 1:
        raise ValueError(f"the number of clusters must be at least 1, got {count}")
    while int(labels.max()) + 1 > count:
        distances = distance(cluster_means(rows, labels)).clone()  # (k, k)
        distances.fill_diagonal_(torch.inf)
        beside = between_clusters(adjacency, labels)
        if beside is not None and (beside & torch.isfinite(distances)).any():
            distances = distances.masked_fill(~beside, torch.inf)
        labels = join(labels, *divmod(int(distances.argmin()), len(distances)))
    return labels


def join(labels: Tensor, one: int, other: int) -> Tensor:
    """Labels (n,) 0..k-1 with two of them made one, numbered 0..k-2 in the same order."""
    low, high = sorted((one, other))
    merged = torch.where(labels == high, low, labels)
    return torch.where(merged > high, merged - 1, merged)
