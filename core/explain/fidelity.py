"""Whether importances say what matters: insertion, deletion and mu-fidelity, against two orders that know nothing.

After *A Holistic Approach to Unifying Automatic Concept Extraction and Concept Importance Estimation* (Fel et al. 2023,
arXiv 2306.07304, section 3.3): concepts are taken out in the order of their importance (deletion: the score should fall
soon) or put in, one after another, into a picture without any (insertion: it should rise soon). mu-fidelity is the
correlation, over random sets of concepts, of the sum of their importances with how much the score falls without them.
Beside the order by importance stand random orders and the order by length, ``||u_k V_k||``.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..steps import OnStep
from .importance.head import Question

SHARES = 11
"""Points of a curve, from no concept to all."""
RANDOM, SUBSETS = 3, 32
"""Random orders, and random sets for mu-fidelity, of each picture."""
ORDERS = ("importance", "strength", "random")


@dataclass(frozen=True, eq=False)
class Fidelity:
    """What taking concepts out and putting them in does to the score.

    Attributes:
        deletion: (P, 3, SHARES) the score at shares of concepts that are taken out, in the orders :data:`ORDERS`.
        insertion: (P, 3, SHARES) the same of concepts that are put in.
        mu: (P,) mu-fidelity; NaN for pictures with fewer than three concepts.
    """

    deletion: Tensor
    insertion: Tensor
    mu: Tensor

    @property
    def ways(self) -> Tensor:
        """(P,) from the score without any concept to that with all of them."""
        return self.deletion[:, 0, 0] - self.insertion[:, 0, 0]

    def curves(self) -> tuple[Tensor, Tensor]:
        """(3, SHARES) each: deletion and insertion, the mean of all pictures, counted from the score without any
        concept; pictures whose score falls with the concepts count the other way round."""
        none, signs = self.insertion[:, :1, :1], self.ways.sign()[:, None, None]
        return ((self.deletion - none) * signs).mean(0), ((self.insertion - none) * signs).mean(0)

    def areas(self) -> tuple[Tensor, Tensor]:
        """(3,) each: the means of these curves, as shares of the range of all of them, 0..1; small is good of deletion,
        large of insertion."""
        both = torch.stack(self.curves())
        low, high = both.min(), both.max()
        deletion, insertion = (both.mean(-1) - low) / (high - low).clamp(min=1e-12)
        return deletion, insertion

    def better_than(self, order: str) -> float:
        """The share of pictures in which insertion less deletion is larger by importance than in another order; ties
        count half."""
        gain = (self.insertion - self.deletion).mean(-1) * self.ways.sign()[:, None]  # (P, 3)
        ahead = gain[:, 0] - gain[:, ORDERS.index(order)]
        return float((ahead > 1e-6).float().mean() + 0.5 * (ahead.abs() <= 1e-6).float().mean())


def measure_fidelity(question: Question, importance: Tensor, seed: int = 0, on_step: OnStep | None = None) -> Fidelity:
    """Fidelity of importances (P, K) on the pictures of a question."""
    generator = torch.Generator().manual_seed(seed)
    deletions, insertions, mus = [], [], []
    for picture, own in enumerate(importance):
        active = question.active(picture)
        rising = 1 if float(_ends(question, picture, active).diff()) >= 0 else -1
        orders = [active[(rising * own[active]).argsort(descending=True, stable=True)]]
        orders.append(active[_lengths(question, picture)[active].argsort(descending=True, stable=True)])
        orders += [active[torch.randperm(len(active), generator=generator)] for _ in range(RANDOM)]
        curves = torch.stack([_curves(question, picture, order) for order in orders])  # (2 + RANDOM, 2, SHARES)
        curves = torch.cat([curves[:2], curves[2:].mean(0, keepdim=True)])
        deletions.append(curves[:, 0])
        insertions.append(curves[:, 1])
        mus.append(_mu(question, picture, own, active, generator))
        if on_step is not None:
            on_step(picture + 1, len(importance))
    return Fidelity(torch.stack(deletions), torch.stack(insertions), torch.stack(mus))


def _ends(question: Question, picture: int, active: Tensor) -> Tensor:
    """(2,) the scores without any concept and with all."""
    factors = torch.ones(2, len(question.codes.bank))
    factors[0, active] = 0
    return question.scores(picture, factors)


def _lengths(question: Question, picture: int) -> Tensor:
    """(K,) the length of what each concept adds to a picture."""
    bank = question.codes.bank
    return question.codes.values[picture].norm(dim=0) * (bank.directions * bank.scale).norm(dim=1)


def _curves(question: Question, picture: int, order: Tensor) -> Tensor:
    """(2, SHARES) deletion and insertion in an order (r,)."""
    counts = torch.linspace(0, len(order), SHARES).round().long()
    steps = torch.zeros(SHARES, len(question.codes.bank))  # row i has the first counts[i] concepts
    for row, count in enumerate(counts.tolist()):
        steps[row, order[:count]] = 1
    return question.scores(picture, torch.cat([1 - steps, steps])).view(2, SHARES)


def _mu(question: Question, picture: int, own: Tensor, active: Tensor, generator: torch.Generator) -> Tensor:
    if len(active) < 3:
        return torch.tensor(float("nan"))
    taken = torch.zeros(SUBSETS, len(own))
    taken[:, active] = (torch.rand(SUBSETS, len(active), generator=generator) < 0.5).float()
    scores = question.scores(picture, torch.cat([1 - taken, torch.ones(1, len(own))]))
    fallen, summed = scores[-1] - scores[:-1], taken @ own
    pair = torch.stack([fallen, summed])
    if float(pair.std(1).min()) < 1e-12:
        return torch.tensor(0.0)
    return torch.corrcoef(pair)[0, 1]
