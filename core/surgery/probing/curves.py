"""Linear probes of what a model computes at many places, against labels that mean nothing (after Concept Depth, Jin et
al., COLING 2025, arXiv 2404.07066).

At every place (a layer, or a block at a noise level) a ridge regression is fitted to separate examples with a concept
from others, and judged on held-out ones by AUROC. The paper gives curves of accuracy. Ours: the *onset* is the first
place that is better than 95 % of what the best of all places reaches with shuffled labels, and the *convergence* the
first that is within 0.02 of the best. A bag of tokens, for comparison, shows whether the concept is only a word of the
prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

CLOSE = 0.02
SURE = 0.95
RIDGE = 0.1
"""In shares of the mean squared length of the standardised examples."""
PARTS = 5
LEAST = 4
"""Examples of either kind."""


@dataclass(frozen=True, eq=False)
class ProbeCurve:
    """How well a concept is recognised at places, in their order.

    Attributes:
        places: their names.
        auroc: (N,) of probes, on held-out examples; 0.5 is chance.
        null: what the best place reaches with labels that were shuffled, but for one shuffle in twenty.
    """

    places: tuple[str, ...]
    auroc: Tensor
    null: float

    @property
    def best(self) -> int:
        """The place where it is recognised best; of several the first."""
        return int(self.auroc.argmax())

    @property
    def onset(self) -> int | None:
        """The first place that knows the concept; None if none does."""
        return _first(self.auroc > self.null)

    @property
    def converged(self) -> int | None:
        """The first place from which on it is hardly recognised better; None if no place knows it."""
        return None if self.onset is None else _first(self.auroc >= float(self.auroc.max()) - CLOSE)


def probe_curve(
    places: Sequence[str], features: Sequence[Tensor], present: Tensor, shuffles: int, seed: int
) -> ProbeCurve:
    """Probe every place.

    Args:
        places: N names.
        features: for each place (P, D) of P examples; D may differ.
        present: (P,) bool, which examples have the concept.
        shuffles: of the labels, for the null.
        seed: of these, and of which examples are held out together.

    Raises ``ValueError`` for fewer than :data:`LEAST` examples of either kind.
    """
    kinds = int(present.sum()), int((~present).sum())
    if min(kinds) < LEAST:
        raise ValueError(
            f"a probe needs at least {LEAST} examples with the concept and {LEAST} without, got {kinds[0]} and "
            f"{kinds[1]}; a dozen of each say more"
        )
    generator = torch.Generator().manual_seed(seed % 2**63)
    parts = _parts(present, generator)
    labels = [present] + [_shuffled(present, parts, generator) for _ in range(shuffles)]
    every = torch.stack(labels)  # (1 + S, P)
    found = torch.stack([_held_out(_gram(rows), every, parts) for rows in features])  # (N, 1 + S)
    null = float(found[:, 1:].amax(0).quantile(SURE)) if shuffles else 0.5
    return ProbeCurve(tuple(places), found[:, 0], null)


def _parts(present: Tensor, generator: torch.Generator) -> Tensor:
    """(P,) which examples are held out together: some of either kind in each, as far as they go."""
    parts = torch.zeros(len(present), dtype=torch.long)
    count = min(PARTS, int(present.sum()), int((~present).sum()))
    for kind in (present, ~present):
        chosen = kind.nonzero()[:, 0]
        parts[chosen[torch.randperm(len(chosen), generator=generator)]] = torch.arange(len(chosen)) % count
    return parts


def _shuffled(present: Tensor, parts: Tensor, generator: torch.Generator) -> Tensor:
    """Labels (P,) that changed places among the examples of their part: every part keeps as many of either kind."""
    found = present.clone()
    for part in parts.unique():
        own = (parts == part).nonzero()[:, 0]
        found[own] = present[own[torch.randperm(len(own), generator=generator)]]
    return found


def _gram(rows: Tensor) -> Tensor:
    """(P, P) products of standardised rows (P, D), 1 on the diagonal on average."""
    rows = rows.double()
    spread = rows.std(0)
    moving = spread > 1e-6 * rows.abs().mean().clamp(min=1e-12)  # what is the same everywhere says nothing
    made = (rows - rows.mean(0))[:, moving] / spread[moving]
    return made @ made.T / max(1, made.shape[1])


def _held_out(gram: Tensor, labels: Tensor, parts: Tensor) -> Tensor:
    """(S,) AUROC of the answers of ridge regressions to examples that they were not fitted to, for each row of labels
    (S, P)."""
    answers = torch.zeros(labels.shape, dtype=torch.double)
    for part in parts.unique():
        hidden, known = parts == part, parts != part
        inside, across = gram[known][:, known], gram[hidden][:, known]
        middle = inside.mean(0)
        across = across - across.mean(1, keepdim=True) - middle + middle.mean()  # (h, n)
        inside = inside - middle - middle[:, None] + middle.mean()  # (n, n)
        wanted = labels[:, known].double()
        wanted = wanted - wanted.mean(1, keepdim=True)
        strength = RIDGE * torch.eye(len(inside), dtype=torch.double)
        answers[:, hidden] = (across @ torch.linalg.solve(inside + strength, wanted.T)).T  # (S, h)
    ahead = answers[:, :, None] - answers[:, None]  # (S, P, P)
    compared = labels[:, :, None] & ~labels[:, None]
    right = torch.where(ahead.abs() < 1e-9, 0.5, (ahead > 0).double())
    return (right * compared).sum((1, 2)) / compared.sum((1, 2))


def _first(wanted: Tensor) -> int | None:
    found = wanted.nonzero()
    return int(found[0, 0]) if len(found) else None
