"""Total Sobol indices: the share of the score's variance in which a concept has a part, alone or with others.

CRAFT (Fel et al. 2023, arXiv 2211.10154, section 3.3) multiplies codes by random factors M and takes
``S_Ti = E[Var(Y | M without i)] / Var(Y)``, estimated as by Jansen (1999):

    S_Ti = sum over j of (f(A_j) - f(C_j))^2 / (2 N Var f(A)),   C is A with column i of B

A and B are halves of a scrambled Sobol sequence. Its unscrambled relatives give far too small numbers with few points.
The index has no sign; here it takes the sign of what removing the concept does.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .head import Question
from .method import Budget, Measure

LEAST_SPREAD = 1e-12
"""Variance of the score, as a share of its mean square, below which nothing matters to it."""


def total_indices(score: Callable[[Tensor], Tensor], count: int, points: int, seed: int = 0) -> Tensor:
    """(r,) total Sobol indices of a function of factors (n, r) in 0..1 that gives (n,); zeros for a constant.

    It is asked ``points * (r + 1)`` times.
    """
    engine = torch.quasirandom.SobolEngine(2 * count, scramble=True, seed=seed)
    both = engine.draw(points)  # (N, 2 r)
    first, second = both[:, :count], both[:, count:]
    mixed = first.repeat(count, 1, 1)  # (r, N, r)
    index = torch.arange(count)
    mixed[index, :, index] = second.T
    found = score(torch.cat([first, mixed.flatten(0, 1)])).double()
    base, changed = found[:points], found[points:].view(count, points)
    spread = base.var(correction=0)
    if float(spread) <= LEAST_SPREAD * float(base.square().mean()):
        return torch.zeros(count)
    return ((base - changed).square().mean(1) / (2 * spread)).float()


def _measure(question: Question, picture: int, budget: Budget) -> Tensor:
    active, found = question.active(picture), torch.zeros(len(question.codes.bank))
    if not len(active):
        return found

    def score(factors: Tensor) -> Tensor:
        every = torch.ones(len(factors), len(found))
        every[:, active] = factors
        return question.scores(picture, every)

    indices = total_indices(score, len(active), budget.points, budget.seed)
    found[active] = indices * question.without(picture, active).sign()
    return found


METHOD = Measure(
    name="sobol",
    title="Total Sobol indices (CRAFT)",
    help="The share of the score's variance in which an ingredient has a part, alone or together with others.",
    measure=_measure,
    passes=lambda concepts, budget: (budget.points + 1) * (concepts + 1),
)
