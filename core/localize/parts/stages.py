"""From attention rows to concepts: pre-clustering, filter, post-clustering (ConceptExpress, section 3.2).

Where the release would stop with an error or drop a threshold, a fall-back is taken and noted.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...attention.selection import Grid
from ...clustering.components import touching
from ...clustering.divergence import symmetric_kl
from ...clustering.finch import Level, cluster_means, finch, last_with_at_least, merge_to_count
from ...clustering.nearest import near_kl
from ...types import Concepts
from .diffseg import diffseg
from .merge import merge_against_background
from .saliency import is_flat
from .settings import LocalizeSettings


@dataclass(frozen=True, eq=False)
class Parts:
    """Pieces of a picture, each inside one object or in the background.

    Attributes:
        masks: (K, h, w) bool, disjoint.
        features: (K, h*w), the mean attention row of each.
        scores: (K,), mean saliency inside over the mean everywhere.
    """

    masks: Tensor
    features: Tensor
    scores: Tensor

    def pick(self, chosen: Tensor) -> "Parts":
        """The parts of an index or a bool (K,)."""
        return Parts(self.masks[chosen], self.features[chosen], self.scores[chosen])


def concepts_from_attention(
    attention: Tensor, saliency: Tensor, settings: LocalizeSettings, picture_size: tuple[int, int]
) -> Concepts:
    """The concepts of a picture from its aggregated self-attention.

    Args:
        attention: (h*w, h*w) float, rows sum to one.
        saliency: (h, w) float >= 0, higher for objects.
        picture_size: (H, W), handed on.

    Returns:
        Concepts named ``1``, ``2``, ... from the most to the least salient; at least one.

    Raises:
        ValueError: when sizes do not fit or values are not finite.
    """
    grid = (saliency.shape[0], saliency.shape[1])
    if attention.shape != (saliency.numel(), saliency.numel()):
        raise ValueError(f"attention {tuple(attention.shape)} does not fit a saliency map of {grid[0]}x{grid[1]} cells")
    if not torch.isfinite(saliency).all():
        raise ValueError("the saliency map holds NaN or infinite values")
    find = segments if settings.cluster == "diffseg" else clustered
    found, notes = find(attention, saliency, settings)
    chosen, limited = limit(found, grid, settings)
    return Concepts(
        masks=chosen.masks,
        targets=chosen.features.view(-1, *grid) / chosen.features.sum(-1)[:, None, None],
        names=tuple(str(i) for i in range(1, len(chosen.masks) + 1)),
        scores=chosen.scores,
        picture_size=picture_size,
        notes=notes + limited,
        outline=settings.outline,
    )


def clustered(attention: Tensor, saliency: Tensor, settings: LocalizeSettings) -> tuple[Parts, tuple[str, ...]]:
    """Concepts as ConceptExpress finds them: pre-clustering, filter, post-clustering; and notes."""
    level, tau, notes = pre_cluster(attention, settings.min_clusters)
    candidates, filtered = drop_background(parts_of(level, saliency), saliency, settings.saliency_threshold)
    merged, counted = join_parts(candidates, attention, tau, settings)
    return merge_parts(candidates, merged, saliency), notes + filtered + counted


def segments(attention: Tensor, saliency: Tensor, settings: LocalizeSettings) -> tuple[Parts, tuple[str, ...]]:
    """DiffSeg's segments without those in the background; and notes."""
    labels = diffseg(attention, (saliency.shape[0], saliency.shape[1]), threshold=settings.merge_threshold)
    level = Level(labels, cluster_means(attention, labels), 0.0)
    return drop_background(parts_of(level, saliency), saliency, settings.saliency_threshold)


def pre_cluster(attention: Tensor, min_clusters: int) -> tuple[Level, float, tuple[str, ...]]:
    """The coarsest FINCH level with ``min_clusters`` clusters, its linked distance tau, and notes.

    Fall-backs: without such a level the finest is taken. The release has no tau for the finest level and then merges
    without a threshold; here it is the longest link between single rows.
    """
    levels = finch(attention, near_kl)
    index = last_with_at_least(levels, min_clusters)
    notes: tuple[str, ...] = ()
    if index is None:
        index = 0
        notes += (f"The picture has only {levels[0].count} distinct pieces; {min_clusters} were asked for.",)
    if index == 0:
        notes += (
            "Merging started from the smallest pieces. If parts of one thing are separate concepts, raise "
            "merge_threshold; if two things are one concept, lower it.",
        )
    return levels[index], levels[index].linked, notes


def parts_of(level: Level, saliency: Tensor) -> Parts:
    """The clusters of a level as parts."""
    grid = saliency.shape
    labels = level.labels.view(grid)
    masks = labels[None] == torch.arange(level.count, device=labels.device)[:, None, None]  # (K, h, w)
    return Parts(masks, level.centres, saliency_scores(masks, saliency))


def saliency_scores(masks: Tensor, saliency: Tensor) -> Tensor:
    """(K,), the mean saliency inside each mask (K, h, w) over the mean of the whole map; ones for a map of zeros."""
    inside = (masks * saliency).sum((1, 2)) / masks.sum((1, 2))
    mean = saliency.mean()
    return inside / mean if mean > 0 else torch.ones_like(inside)


def drop_background(parts: Parts, saliency: Tensor, threshold: float) -> tuple[Parts, tuple[str, ...]]:
    """The parts above the saliency threshold. Fall-backs: all for a flat map, the most salient when none is above."""
    if is_flat(saliency):
        return parts, ("the saliency map is flat: nothing was taken for background",)
    kept = parts.scores > threshold
    if kept.any():
        return parts.pick(kept), ()
    best = parts.scores == parts.scores.max()
    return parts.pick(best), (f"no part is above the saliency threshold {threshold:g}: the most salient was taken",)


def join_parts(
    parts: Parts, attention: Tensor, tau: float, settings: LocalizeSettings
) -> tuple[Tensor, tuple[str, ...]]:
    """Labels (K,) of the parts' concepts, as the settings measure what belongs together, and notes."""
    ground = ~parts.masks.any(0).flatten()  # (h*w,)
    if settings.merge == "linked" or not ground.any():
        return post_cluster(parts, tau * settings.merge_threshold, settings)
    adjacency = touching(parts.masks) if settings.adjacency else None
    labels = merge_against_background(
        parts.features,
        parts.masks.sum((1, 2)),
        attention[ground].mean(0),
        settings.merge_threshold,
        adjacency,
        settings.count,
        max(1.0, settings.min_area * parts.masks[0].numel()),
    )
    return labels, _too_few(int(labels.max()) + 1, settings)


def post_cluster(parts: Parts, cut: float, settings: LocalizeSettings) -> tuple[Tensor, tuple[str, ...]]:
    """Labels (K,) of the parts' concepts: the coarsest FINCH level within the cut and the adjacency.

    With a wanted count, merging goes on from the coarsest level that still has as many, two closest at a time.
    """
    adjacency = touching(parts.masks) if settings.adjacency else None
    levels = finch(parts.features, symmetric_kl, cut=cut, adjacency=adjacency, keep_single=settings.single)
    if settings.count is None:
        return levels[-1].labels, ()
    index = last_with_at_least(levels, settings.count)
    start = levels[index].labels if index is not None else torch.arange(len(parts.masks), device=parts.masks.device)
    labels = merge_to_count(parts.features, start, settings.count, symmetric_kl, adjacency)
    return labels, _too_few(int(labels.max()) + 1, settings)


def _too_few(found: int, settings: LocalizeSettings) -> tuple[str, ...]:
    if settings.count is None or found >= settings.count:
        return ()
    return (f"{settings.count} concepts were wanted, the picture has {found} salient parts",)


def merge_parts(parts: Parts, labels: Tensor, saliency: Tensor) -> Parts:
    """Parts with the same label as one: union of masks, unweighted mean of features."""
    count = int(labels.max()) + 1
    masks = torch.stack([parts.masks[labels == label].any(0) for label in range(count)])
    return Parts(masks, cluster_means(parts.features, labels), saliency_scores(masks, saliency))


def limit(parts: Parts, grid: Grid, settings: LocalizeSettings) -> tuple[Parts, tuple[str, ...]]:
    """Most salient first, without those that are too small or too many."""
    notes: tuple[str, ...] = ()
    parts = parts.pick(torch.argsort(parts.scores, descending=True, stable=True))
    area = parts.masks.sum((1, 2))
    large = area >= settings.min_area * grid[0] * grid[1]
    if not large.any():
        large = area == area.max()
        notes += (f"All that was found is smaller than {settings.min_area:.1%} of the picture; the largest was kept.",)
    elif not large.all():
        notes += (f"Left out as smaller than {settings.min_area:.1%} of the picture: {int((~large).sum())}.",)
    parts = parts.pick(large)
    most = min(settings.max_concepts or len(parts.masks), settings.count or len(parts.masks))
    if len(parts.masks) > most:
        notes += (f"{len(parts.masks)} concepts were found; the {most} that stand out most were kept.",)
        parts = parts.pick(torch.arange(most, device=parts.masks.device))
    return parts, notes
