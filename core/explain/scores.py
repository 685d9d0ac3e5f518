"""Concept scores: one number for each picture and concept, whatever it says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..messages import counted, listed
from .bank import ConceptCodes


@dataclass(frozen=True, eq=False)
class PictureScores:
    """What a CONCEPT_SCORES socket carries: P pictures scored by K concepts.

    Attributes:
        values: (P, K) float32.
        names: K names, unique.
        title: what a number says, for people: ``strength``, ``importance for "cat"``.
        valid_for: the model, layer and pictures that the numbers hold for; whole sentences, may be empty.
        reasons: why, for each picture, for people; empty where none are given.
        pictures: P names of pictures, for people; empty where they are not known.
    """

    values: Tensor
    names: tuple[str, ...]
    title: str
    valid_for: str = ""
    reasons: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.names) or not self.values.numel():
            raise ValueError(
                f"scores must be (pictures, {len(self.names)} concepts) with at least one of each, got "
                f"{tuple(self.values.shape)}"
            )
        if self.reasons and len(self.reasons) != len(self.values):
            raise ValueError(f"{len(self.values)} pictures need as many reasons, got {len(self.reasons)}")
        if self.pictures and len(self.pictures) != len(self.values):
            raise ValueError(f"{len(self.values)} pictures need as many names, got {len(self.pictures)}")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"names of concepts must differ, got {listed(self.names)}")
        if not bool(torch.isfinite(self.values).all()):
            raise ValueError("scores are not finite (NaN or infinite); check the pictures and the model")

    def check_pictures(self, count: int) -> None:
        """Raises ``ValueError`` where pictures that are connected are not as many as were scored."""
        if len(self) != count:
            scored, are = counted(len(self), "picture"), "is" if count == 1 else "are"
            raise ValueError(f"the scores are of {scored}, and {count} {are} connected; connect the same pictures")

    def __len__(self) -> int:
        return len(self.values)

    def of_pictures(self, names: Sequence[str]) -> "PictureScores":
        """The same scores, with names of the pictures."""
        return replace(self, pictures=tuple(names))

    def means(self) -> Tensor:
        """(K,) the mean of each concept over the pictures."""
        return self.values.mean(0)

    def ranked(self, most: int | None = None) -> list[int]:
        """Concepts by the size of their mean, whatever its sign, the largest first, at most so many."""
        return self.means().abs().argsort(descending=True, stable=True).tolist()[:most]


def strengths(codes: ConceptCodes, valid_for: str = "") -> PictureScores:
    """How strongly each picture shows each concept: the largest code of its positions as a share of the peak."""
    return PictureScores(codes.scores(), codes.bank.names, "strength", valid_for)
