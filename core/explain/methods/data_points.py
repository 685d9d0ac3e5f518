"""A dictionary of data points, without training: greedy selection of the rows that explain the others best.

Greedy column subset selection (Farahat, Ghodsi & Kamel 2013) takes next the row whose direction explains most of what
is left. Two things are ours. What is left is what the rows chosen so far leave with codes of zero or more, as codes of
a bank are. And a row counts by the fourth power of how far it reaches along a direction (after l4-norm maximisation,
Zhai et al. 2020, arXiv 1906.02435): with the square, mixtures of several ingredients win over rows that show one, and
on planted activations the choice was hardly better than a random one. Every ingredient is a real position of a real
picture.
"""

import torch
from torch.nn.functional import normalize

from ..finder import Finder
from ..parts.least_squares import sweep
from ..parts.task import FindSettings, FindTask, Found
from .nmf import nonnegative

CANDIDATES = 2048
POWER, SWEEPS = 4, 2


def _find(task: FindTask[FindSettings]) -> Found:
    rows = task.rows
    if len(rows) > CANDIDATES:
        rows = rows[torch.randperm(len(rows), generator=task.generator)[: max(CANDIDATES, task.count)]]
    units = normalize(rows, dim=1)
    reach, alike = rows @ units.T, units @ units.T  # (n, n) each: of rows along candidates; between candidates
    left, free = reach, torch.ones(len(rows), dtype=torch.bool)
    chosen: list[int] = []
    codes = reach.new_zeros(len(rows), 0)
    for _ in range(task.count):
        gains = left.clamp(min=0).pow(POWER).sum(0)  # (n,)
        index = int(gains.masked_fill(~free, -1).argmax())
        chosen.append(index)
        free[index] = False
        codes = torch.cat([codes, codes.new_zeros(len(rows), 1)], 1)  # (n, chosen)
        for _ in range(SWEEPS):
            codes = sweep(codes, alike[chosen][:, chosen], reach[:, chosen])
        left = reach - codes @ alike[chosen]
        task.on_share(len(chosen) / task.count)
    return Found(rows[chosen])


METHOD = Finder(
    name="data_points",
    title="Data points",
    help="Chooses real positions of the pictures that explain the others best, without any training.",
    presets={"paper": FindSettings(), "small": FindSettings(rows=10_000)},
    find=_find,
    code=nonnegative,
)
