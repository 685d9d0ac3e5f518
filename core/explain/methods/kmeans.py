"""k-means over positions, as ACE (Ghorbani et al. 2019, arXiv 1902.03129) clusters segments: each position belongs to
one concept."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...clustering.finch import cluster_means
from ...clustering.kmeans import kmeans
from ..finder import Finder
from ..parts.task import FindSettings, FindTask, Found


def _find(task: FindTask[FindSettings]) -> Found:
    seed = int(torch.randint(2**31, (1,), generator=task.generator))
    labels = kmeans(task.rows, task.count, seed, restarts=1)
    means = cluster_means(task.rows, labels)  # (K, D)
    return Found(means, {"means": means})


def _code(rows: Tensor, directions: Tensor, extra: Mapping[str, Tensor]) -> Tensor:
    """The row's part along the direction of its nearest mean, 0 for all others."""
    means = extra["means"]
    nearest = (means.square().sum(1) - 2 * rows @ means.T).argmin(1)  # (n,)
    along = (rows * directions[nearest]).sum(1).clamp(min=0)
    return torch.zeros(len(rows), len(means)).scatter(1, nearest[:, None], along[:, None])


METHOD = Finder(
    name="kmeans",
    title="k-means",
    help="Groups positions; each belongs to one ingredient alone.",
    presets={"paper": FindSettings(), "small": FindSettings(rows=6_000)},
    find=_find,
    code=_code,
)
