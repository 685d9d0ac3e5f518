"""Which parts of a picture belong together, measured against the background.

ConceptExpress joins parts whose distance is below the longest link of pre-clustering, a scale that jumps from picture
to picture. Here the background gives the scale: a thing is as far from another thing as from the ground it stands on,
its own parts are nearer. (Our own; ``small`` uses it, ``paper`` does not.)
"""

import torch
from torch import Tensor

from ...clustering.divergence import symmetric_kl
from ...clustering.finch import between_clusters, join


def merge_against_background(
    features: Tensor,
    areas: Tensor,
    background: Tensor,
    reach: float,
    adjacency: Tensor | None = None,
    count: int | None = None,
    least: float = 1.0,
) -> Tensor:
    """Join the closest two parts, again and again, while they are within reach of each other.

    With a ``count``, joining goes on whatever the reach, as long as so many groups of at least ``least`` cells
    are left: scraps of background that were taken for parts do not count, so they cannot stand for a thing.

    Closeness of a and b is ``d(a, b) / min(d(a, ground), d(b, ground))`` with the symmetric Kullback-Leibler
    divergence d between mean attention rows.

    Args:
        features: (K, d), the mean attention row of each part.
        areas: (K,), cells of each part, the weights of means.
        background: (d,), the mean attention row of the background.
        reach: the largest closeness that is joined; 0 joins nothing, 1 what is nearer to each other than to the
            background.
        adjacency: (K, K) bool, which parts touch; others are not joined, unless a ``count`` leaves no other choice.
        count: wanted number of groups; None lets the reach decide.
        least: cells that a group has, to count.

    Returns:
        (K,) long labels 0..k-1, in the order of each group's first part.
    """
    labels = torch.arange(len(features), device=features.device)
    chosen, counting = labels, 0
    while True:
        if count is not None and (large := min(count, _groups(labels, areas, least))) >= counting:
            chosen, counting = labels, large
        if int(labels.max()) == 0:
            break
        apart = closeness(weighted_means(features, areas, labels), background)  # (k, k)
        beside = between_clusters(adjacency, labels)  # (k, k) bool
        if beside is not None and (count is None or (beside & torch.isfinite(apart)).any()):
            apart = apart.masked_fill(~beside, torch.inf)
        nearest = apart.min()
        if not torch.isfinite(nearest) or (count is None and nearest > reach):
            break
        labels = join(labels, *divmod(int(apart.argmin()), len(apart)))
    return labels if count is None else chosen


def _groups(labels: Tensor, areas: Tensor, least: float) -> int:
    """How many labels (K,) have parts of at least so many cells together; areas (K,)."""
    sums = torch.zeros(int(labels.max()) + 1, device=areas.device).index_add_(0, labels, areas.float())
    return int((sums >= least).sum())


def closeness(centres: Tensor, background: Tensor) -> Tensor:
    """(k, k), how far every two rows (k, d) are apart, in units of the nearer one's distance to the background (d,);
    infinite on the diagonal."""
    ground = symmetric_kl(centres, background[None])[:, 0]  # (k,)
    unit = torch.minimum(ground[:, None], ground[None]).clamp_min(torch.finfo(ground.dtype).tiny)
    return (symmetric_kl(centres) / unit).fill_diagonal_(torch.inf)


def weighted_means(rows: Tensor, weights: Tensor, labels: Tensor) -> Tensor:
    """(k, d), the mean of the rows (n, d) of every label 0..k-1, weighted by (n,)."""
    member = torch.nn.functional.one_hot(labels).to(rows) * weights.to(rows)[:, None]  # (n, k)
    return member.T @ rows / member.sum(0)[:, None]
