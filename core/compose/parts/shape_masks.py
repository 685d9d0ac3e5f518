"""Masks that take the shape of what is drawn, from the self-attention of a layer.

Concept Conductor (Yao et al., arXiv 2408.03632), shape-aware mask refinement: cells whose attention to the picture is
alike belong to one thing. Of the clusters for several numbers of clusters, that which covers the mask best takes its
place.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...clustering.kmeans import kmeans
from .region_losses import box_of

RESTARTS = 4
"""Of k-means; the paper has 100, which on a processor takes longer than the sampling."""


def clusters_of(attention: Tensor, least: int, most: int) -> Tensor:
    """(K, n) bool: every cluster of the rows of self-attention (n, n), for each number of clusters from ``least`` to
    ``most``."""
    rows = attention.float().cpu()
    counts = [count for count in range(least, most + 1) if count <= len(rows)]
    labels = [kmeans(rows, count, restarts=RESTARTS, iterations=20) for count in counts]
    found = [labels[i] == label for i, count in enumerate(counts) for label in range(count)]
    return torch.stack(found)


def best_cluster(clusters: Tensor, mask: Tensor, least_iou: float) -> Tensor:
    """The cluster (n,) bool of clusters (K, n) with the largest IoU with a mask (h, w) bool; where that is below
    ``least_iou`` the rectangle around the mask."""
    flat = mask.flatten()
    shared, either = (clusters & flat).sum(1), (clusters | flat).sum(1).clamp_min(1)
    iou = shared / either  # (K,)
    best = int(iou.argmax())
    if float(iou[best]) >= least_iou:
        return clusters[best]
    top, left, bottom, right = box_of(mask.float())
    rectangle = torch.zeros_like(mask)
    rectangle[top:bottom, left:right] = True
    return rectangle.flatten()


def refined(
    before: Tensor, own: Sequence[Tensor | None], prompt: Tensor, least_iou: float, most_share: float = 1.0
) -> Tensor:
    """Masks (R, h, w) of 0 and 1 in the shapes that are drawn.

    Each is the union of the best clusters of the concept's branch and of the prompt's pass. Cells that several claim
    go back to the masks before.

    Args:
        before: (R, h, w) in 0..1.
        own: of each concept the self-attention (n, n) in its branch; None leaves its mask as it was.
        prompt: the self-attention (n, n) in the prompt's pass.
        least_iou: of the best cluster and the mask before, 0 to 1; below it the mask's rectangle is taken.
        most_share: how large a mask may become, as a share of the picture; a larger one is left as it was.
    """
    given = before.cpu() >= 0.5
    count = len(before)
    shared = clusters_of(prompt, count + 1, 2 * count + 1)
    found = given.clone()
    for number, attention in enumerate(own):
        mask = given[number]
        if attention is None or not bool(mask.any()):
            continue
        clusters = clusters_of(attention, count + 1, 2 * count + 1)
        shape = best_cluster(clusters, mask, least_iou) | best_cluster(shared, mask, least_iou)
        if float(shape.float().mean()) <= most_share:
            found[number] = shape.view_as(mask)
    contested = found.sum(0) > 1  # (h, w)
    return torch.where(contested, given, found).to(before)
