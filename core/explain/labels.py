"""What concepts have to do with labels that pictures are known to bear, beside a plain linear probe.

*Are Sparse Autoencoders Useful?* (Kantamneni et al. 2025, arXiv 2502.16681) finds that probes of plain activations do
as well as dictionaries or better wherever labels are at hand; so both are measured, on pictures that were held out.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .activations import Activations
from .bank import ConceptCodes, dividing_value
from .probe import LEAST, auroc, held_out, pooled, single
from .separability import by_chance, separability

MOST_LABELS = 32
CLEARLY = 0.01
"""By how much an AUROC must be larger to be called better."""
FEW = 20
"""Pictures of either kind below which what is measured of a label is rough."""


@dataclass(frozen=True, eq=False)
class Labels:
    """What P pictures are known to show.

    Attributes:
        present: (P, L) bool.
        names: L of them.
        source: who says so, for people: ``captions``.
        guessed: whether a model says so, and not people.
    """

    present: Tensor
    names: tuple[str, ...]
    source: str
    guessed: bool = False

    def usable(self) -> "Labels":
        """Those that enough pictures show and enough lack, at most :data:`MOST_LABELS`, the most frequent first."""
        counts = self.present.sum(0)
        fewer = torch.minimum(counts, len(self.present) - counts)
        order = [i for i in fewer.argsort(descending=True, stable=True).tolist() if int(fewer[i]) >= LEAST]
        chosen = order[:MOST_LABELS]
        return replace(self, present=self.present[:, chosen], names=tuple(self.names[index] for index in chosen))


@dataclass(frozen=True)
class LabelFit:
    """How well one label is recognised.

    Attributes:
        name: the label.
        concept: the number of the concept that predicts it best, of all pictures.
        auroc: of the best concept; it is chosen on other pictures than it is scored on.
        probe: of a linear probe, on held-out pictures too.
        pictures: how many bear the label, or lack it if those are fewer.
    """

    name: str
    concept: int
    auroc: float
    probe: float
    pictures: int

    @property
    def better(self) -> str:
        """Which of both is better, ``probe`` or ``ingredient``; "" where they are as good."""
        if abs(self.probe - self.auroc) < CLEARLY:
            return ""
        return "probe" if self.probe > self.auroc else "ingredient"


@dataclass(frozen=True, eq=False)
class Meanings:
    """What is known of K concepts by labels.

    Attributes:
        fits: one for each label.
        separable: (K,) how well each concept separates its best label from the others, see :mod:`.separability`.
        chance: (K,) what it reaches with shuffled labels.
        label: (K,) the number of that label.
        source: of the labels.
        names: of the labels.
        guessed: as :attr:`Labels.guessed`.
    """

    fits: tuple[LabelFit, ...]
    separable: Tensor
    chance: Tensor
    label: Tensor
    source: str
    names: tuple[str, ...]
    guessed: bool = False


def meanings(codes: ConceptCodes, activations: Activations, labels: Labels) -> Meanings | None:
    """What labels say of the concepts of a bank; None where too few pictures show or lack each label.

    Raises ``ValueError`` for labels of another number of pictures.
    """
    if len(labels.present) != len(codes.values):
        raise ValueError(f"labels of {len(labels.present)} pictures were given for {len(codes.values)} pictures")
    labels = labels.usable()
    if not labels.names:
        return None
    scores, rows = codes.scores(), pooled(activations.rows)
    fits = [_fit(scores, rows, labels, index) for index in range(len(labels.names))]
    best = separability(scores, labels.present).max(1)
    chance = by_chance(scores, labels.present)
    return Meanings(tuple(fits), best.values, chance, best.indices, labels.source, labels.names, labels.guessed)


def _fit(scores: Tensor, rows: Tensor, labels: Labels, index: int) -> LabelFit:
    present = labels.present[:, index]
    concept = int(torch.stack([auroc(column, present) for column in scores.T]).argmax())
    ingredient, probe = held_out(scores, present, fit=single), held_out(rows, present)
    fewer = min(int(present.sum()), int((~present).sum()))
    return LabelFit(labels.names[index], concept, ingredient, probe, fewer)


def labels_of_words(likely: Tensor, words: tuple[str, ...]) -> Labels:
    """Labels by a picture encoder: a picture bears a word whose likelihood (P, L) lies above the value that best
    divides the pictures (Otsu)."""
    limits = torch.tensor([dividing_value(column) for column in likely.T])
    return Labels(likely > limits, words, "the picture encoder", guessed=True)
