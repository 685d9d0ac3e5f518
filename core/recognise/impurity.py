"""The Oracle Impurity Score: what learnt concepts say of one another beyond what the truth does (Espinosa Zarlenga et
al., *Towards Robust Metrics for Concept Representation Evaluation*, AAAI 2023).

With A_ij how well (AUROC) concept j is predicted from the learnt value of concept i, and T_ij from whether i is truly
there,

    OIS = 2 / k * || A - T ||_F

It is 0 where learnt values say no more and no less of each other than the truth. The paper predicts by a small network;
here a value is put into bins of like counts, which takes any curve of one number. Predictions are of pictures that the
bins were not made from.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..explain.probe import auroc

BINS = 8
MOST = 64
"""Concepts that are judged, the most frequent ones: the time grows as the square of their number."""
FEWEST = 4
"""Pictures with a concept, and without it, below which it is not judged."""


@dataclass(frozen=True, eq=False)
class Impurity:
    """How pure K learnt concepts are.

    Attributes:
        score: the Oracle Impurity Score.
        noise: what so few pictures give by chance: the score of the truth against itself, divided otherwise.
        learnt: (K, K) AUROC of concept j (columns) from the learnt value of concept i (rows).
        true: (K, K) the same from the truth.
        judged: the concepts that these are of, by their numbers.
    """

    score: float
    noise: float
    learnt: Tensor
    true: Tensor
    judged: tuple[int, ...]

    def leaks(self, most: int = 3) -> list[tuple[int, int, float]]:
        """Pairs (i, j) of concepts whose learnt value of i says more of j than the truth does, and by how much."""
        beyond = (self.learnt - self.true).fill_diagonal_(0)
        order = beyond.flatten().argsort(descending=True, stable=True).tolist()[:most]
        pairs = [divmod(index, len(beyond)) for index in order]
        return [(self.judged[i], self.judged[j], float(beyond[i, j])) for i, j in pairs if float(beyond[i, j]) > 0]


def impurity(values: Tensor, present: Tensor, seed: int = 0) -> Impurity | None:
    """The score of learnt values (P, K) against which pictures have which concept, (P, K) bool; None where fewer than
    two concepts are in, and absent from, at least :data:`FEWEST` pictures. At most :data:`MOST` concepts are judged.

    Raises ``ValueError`` for unlike shapes.
    """
    if values.shape != present.shape:
        raise ValueError(f"values and labels must have one shape, got {tuple(values.shape)} and {tuple(present.shape)}")
    counts = present.sum(0)
    judged = ((counts >= FEWEST) & (len(present) - counts >= FEWEST)).nonzero()[:, 0]
    judged = judged[counts[judged].argsort(descending=True, stable=True)[:MOST]].sort().values
    if len(judged) < 2:
        return None
    seen, on = values[:, judged].double(), present[:, judged]
    learnt, true, again = (
        predicted(rows, on, seed + offset) for rows, offset in ((seen, 0), (on.double(), 0), (on.double(), 1))
    )
    scale = 2 / len(judged)
    score, noise = (float(scale * (one - true).norm()) for one in (learnt, again))
    return Impurity(score, noise, learnt, true, tuple(judged.tolist()))


def predicted(values: Tensor, present: Tensor, seed: int) -> Tensor:
    """(K, K) AUROC of concept j from the value of concept i, the mean over two halves, each predicted by the other."""
    halves = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed)) % 2 == 0
    found = torch.zeros(values.shape[1], values.shape[1], dtype=torch.float64)
    for j in range(values.shape[1]):
        half = _balanced(present[:, j], halves)
        for i in range(values.shape[1]):
            for fit in (half, ~half):
                rates = _binned(values[:, i], present[:, j], fit)
                found[i, j] += auroc(rates[~fit], present[~fit, j]) / 2
    return found


def _balanced(on: Tensor, halves: Tensor) -> Tensor:
    """(P,) bool: every other picture with the concept, and every other one without, in the order of ``halves``."""
    found = torch.zeros_like(on)
    for kind in (on, ~on):
        chosen = kind.nonzero()[:, 0]
        chosen = chosen[halves[chosen].long().argsort(stable=True)]
        found[chosen[::2]] = True
    return found


def _binned(values: Tensor, on: Tensor, fit: Tensor) -> Tensor:
    """(P,) how often pictures of ``fit`` whose value is in the same bin have the concept."""
    edges = values[fit].unique()
    if len(edges) > BINS:
        edges = values[fit].quantile(torch.linspace(0, 1, BINS + 1, dtype=values.dtype)[1:-1]).unique()
    place = torch.bucketize(values.contiguous(), edges)
    total = torch.bincount(place[fit], minlength=BINS + 1).double()
    hits = torch.bincount(place[fit], on[fit].double(), minlength=BINS + 1)
    usual = on[fit].double().mean()
    return ((hits + usual) / (total + 1))[place]
