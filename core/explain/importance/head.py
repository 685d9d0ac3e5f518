"""What is explained: one number that a model makes of a picture's activations, and what becomes of it without concepts.

A concept's code is multiplied by a factor of 0 to 1 at every position (CRAFT, Fel et al. 2023, arXiv 2211.10154,
section 3.3). What the concepts do not explain of the activations stays: the model then answers at factors of 1 exactly
what it answers otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..bank import ConceptCodes

BATCH = 16
"""Changed versions of a picture that a model sees at once."""


@dataclass(frozen=True, eq=False)
class Head:
    """What makes a number of a picture.

    Attributes:
        score: a picture's number and changes (n, h * w, D) that are added to its activations, to scores (n,).
        title: what the score says, for people: ``how well the picture fits "cat"``.
        weights: (D,), where the score is the mean of a picture's rows times these weights, plus a constant; None for
            any other score.
        no_gradient: why gradients of the score say nothing or cannot be had, a whole sentence; "" where they can.
    """

    score: Callable[[int, Tensor], Tensor]
    title: str
    weights: Tensor | None = None
    no_gradient: str = ""


def linear_head(rows: Tensor, weights: Tensor, title: str) -> Head:
    """The mean of a picture's rows (P, h * w, D) times weights (D,)."""

    def score(picture: int, changes: Tensor) -> Tensor:
        return (rows[picture] + changes).mean(1) @ weights.clone()  # gradients pass what inference mode made

    return Head(score, title, weights)


@dataclass(frozen=True, eq=False)
class Question:
    """How much each concept matters to a score.

    Attributes:
        codes: of the pictures.
        head: makes the score.
    """

    codes: ConceptCodes
    head: Head

    def active(self, picture: int) -> Tensor:
        """(r,) the concepts that some position of a picture uses; the others cannot matter to it."""
        return self.codes.values[picture].amax(0).nonzero()[:, 0]

    def scores(self, picture: int, factors: Tensor) -> Tensor:
        """(n,) scores of a picture with the codes of K concepts multiplied by factors (n, K)."""
        bank, codes = self.codes.bank, self.codes.values[picture]  # (T, K)
        directions = bank.directions * bank.scale  # (K, D), of rows as they were recorded
        found = []
        for part in factors.split(BATCH):
            changes = ((part - 1)[:, None] * codes) @ directions  # (n, T, D)
            found.append(self.head.score(picture, changes).float().cpu())
        return torch.cat(found)

    def cloned(self) -> "Question":
        """With codes and directions that gradients may pass, also where they were made in inference mode."""
        bank = replace(
            self.codes.bank, directions=self.codes.bank.directions.clone(), scale=self.codes.bank.scale.clone()
        )
        return Question(replace(self.codes, values=self.codes.values.clone(), bank=bank), self.head)

    def without(self, picture: int, concepts: Tensor) -> Tensor:
        """(r,) how much the score falls where one of r concepts is taken out."""
        factors = torch.ones(len(concepts) + 1, len(self.codes.bank))
        factors[torch.arange(len(concepts)), concepts] = 0
        scores = self.scores(picture, factors)
        return scores[-1] - scores[:-1]
