"""Principal components; each is two ingredients, one for either end."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..finder import Finder
from ..parts.task import FindSettings, FindTask, Found


def _find(task: FindTask[FindSettings]) -> Found:
    covariance = task.rows.T @ task.rows / len(task.rows)  # (D, D)
    components = torch.linalg.eigh(covariance).eigenvectors.flip(1).T  # (D, D), the largest first
    ends = torch.stack([components, -components], 1).flatten(0, 1)  # (2 D, D)
    if task.count > len(ends):
        raise ValueError(
            f"pca finds at most {len(ends)} ingredients at this layer, two for each number, got {task.count}"
        )
    return Found(ends[: task.count])


def _code(rows: Tensor, directions: Tensor, extra: Mapping[str, Tensor]) -> Tensor:
    """The positive part of each projection."""
    return (rows @ directions.T).clamp(min=0)


METHOD = Finder(
    name="pca",
    title="PCA",
    help="Finds the directions in which activations differ most; either end of a direction is an ingredient.",
    presets={"paper": FindSettings(), "small": FindSettings()},
    find=_find,
    code=_code,
)
