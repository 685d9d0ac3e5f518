"""Scores of found masks against true ones.

Masks are bool, (N, ...) found against (M, ...) true, on the same grid or the same pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.assignment import best_assignment


@dataclass(frozen=True)
class Score:
    """How well the masks of one picture were found.

    Attributes:
        miou: mean over true objects of the intersection over union with their match; an object without one counts 0.
        recall: share of true objects whose match has at least the threshold.
        precision: share of found masks whose match has at least the threshold; 0 without any.
        count_error: number found minus number true.
        ari: adjusted Rand index over all cells, background being one more group; 1 is perfect, 0 is chance.
    """

    miou: float
    recall: float
    precision: float
    count_error: int
    ari: float


def score_masks(found: Tensor, truth: Tensor, threshold: float = 0.5) -> Score:
    """All scores of one picture. Raises ``ValueError`` without true masks or for shapes that differ."""
    if found.shape[1:] != truth.shape[1:] or len(truth) == 0:
        shapes = f"found {tuple(found.shape)}, true {tuple(truth.shape)}"
        raise ValueError(f"masks must have one shape, and at least one be true; got {shapes}")
    ious = iou_matrix(found, truth)
    matched = [ious[i, j].item() for i, j in best_assignment(ious)]
    hits = sum(iou >= threshold for iou in matched)
    return Score(
        miou=sum(matched) / len(truth),
        recall=hits / len(truth),
        precision=hits / len(found) if len(found) else 0.0,
        count_error=len(found) - len(truth),
        ari=adjusted_rand_index(group_map(found), group_map(truth)),
    )


def iou_matrix(found: Tensor, truth: Tensor) -> Tensor:
    """(N, M) float64 intersection over union; 0 for two empty masks."""
    a, b = found.flatten(1).double(), truth.flatten(1).double()
    both = a @ b.T
    either = a.sum(1)[:, None] + b.sum(1)[None] - both
    return torch.where(either > 0, both / either.clamp_min(1), 0.0)


def group_map(masks: Tensor) -> Tensor:
    """Masks (N, ...) as one map of group numbers: 0 outside, i + 1 in the i-th mask (the last where they overlap)."""
    groups = torch.zeros(masks.shape[1:], dtype=torch.long)
    for number, mask in enumerate(masks, 1):
        groups[mask] = number
    return groups


def adjusted_rand_index(a: Tensor, b: Tensor) -> float:
    """Agreement of two groupings of the same cells, corrected for chance (Hubert and Arabie 1985, equation 5).

    1 for the same grouping under any numbering (also when both have one group only), about 0 for independent ones.
    """
    a, b = (torch.unique(x.flatten(), return_inverse=True)[1] for x in (a, b))
    columns = int(b.max()) + 1
    table = torch.bincount(a * columns + b, minlength=(int(a.max()) + 1) * columns).view(-1, columns).double()
    together, rows, cols, pairs = (_pairs(x).sum() for x in (table, table.sum(1), table.sum(0), table.sum()))
    expected, most = rows * cols / pairs.clamp_min(1), (rows + cols) / 2
    return 1.0 if most == expected else ((together - expected) / (most - expected)).item()


def bootstrap_interval(
    values: Sequence[float], seed: int = 0, draws: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean; (nan, nan) without values."""
    if not values:
        return math.nan, math.nan
    data = torch.tensor(values, dtype=torch.float64)
    picks = torch.randint(len(data), (draws, len(data)), generator=torch.Generator().manual_seed(seed))
    tail = (1 - level) / 2
    low, high = torch.quantile(data[picks].mean(1), torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high


def _pairs(counts: Tensor) -> Tensor:
    return counts * (counts - 1) / 2
