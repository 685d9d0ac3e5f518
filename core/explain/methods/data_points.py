"""A dictionary of data points, without training: greedy selection of the rows that explain the others best.

Greedy column subset selection (Farahat, Ghodsi & Kamel 2013): the next row is the one whose direction explains most of
what is left, and what it explains is taken out. Only rows that point the same way count, since codes are never
negative. Every ingredient is a real position of a real picture.
"""

import torch

from ..finder import Finder
from ..parts.task import FindSettings, FindTask, Found
from .nmf import nonnegative

CANDIDATES = 2048


def _find(task: FindTask[FindSettings]) -> Found:
    rows = task.rows
    if len(rows) > CANDIDATES:
        rows = rows[torch.randperm(len(rows), generator=task.generator)[: max(CANDIDATES, task.count)]]
    left = rows @ rows.T  # (n, n), inner products of what is left of each row
    least = 1e-6 * left.diagonal().max().clamp(min=1e-12)
    free = torch.ones(len(rows), dtype=torch.bool)
    chosen: list[int] = []
    for _ in range(task.count):
        lengths = left.diagonal().clamp(min=least)
        gains = left.clamp(min=0).square().sum(0) / lengths
        index = int(gains.masked_fill(~free, -1).argmax())
        chosen.append(index)
        free[index] = False
        column = left[:, index]
        left = left - column[:, None] * column[None] / lengths[index]
    return Found(rows[chosen])


METHOD = Finder(
    name="data_points",
    title="Data points",
    help="Chooses real positions of the pictures that explain the others best, without any training.",
    presets={"paper": FindSettings(), "small": FindSettings(rows=10_000)},
    find=_find,
    code=nonnegative,
)
