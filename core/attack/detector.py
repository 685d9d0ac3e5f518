"""Who says whether a picture shows a concept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..evaluate.prototypes import Prototypes, prototype_of
from ..evaluate.similarity import unit
from ..messages import shown

Features = Callable[[Tensor], Tensor]
"""Pictures (B, 3, H, W) in 0..1 to features (B, D), as a picture encoder sees them."""


class Detector(Protocol):
    """Knows one concept."""

    def found(self, pictures: Tensor) -> Tensor:
        """(B,) bool: in which pictures (B, 3, H, W) in 0..1 the concept is."""
        ...


@dataclass(frozen=True, eq=False)
class NearestPrototype:
    """Finds a concept where a picture is more like it than like every named alternative, and like it enough.

    The second holds pictures apart that show none of all these: an erased model often draws something else.

    Attributes:
        features: see :data:`Features`.
        prototypes: of the concept and of the alternatives.
        concept: its name among them.
        least: cosine with the concept's prototype below which a picture does not show it.
    """

    features: Features
    prototypes: Prototypes
    concept: str
    least: float = -1.0

    def __post_init__(self) -> None:
        self.prototypes.index(self.concept)
        if len(self.prototypes) < 2:
            raise ValueError(f"{shown(self.concept)} has nothing to be compared with: name at least one alternative")

    def nearest(self, pictures: Tensor) -> list[str]:
        """The name of what each picture is most like."""
        seen = self.features(pictures) @ self.prototypes.features.T  # (B, D) @ (D, M)
        return [self.prototypes.names[i] for i in seen.argmax(1).tolist()]

    def found(self, pictures: Tensor) -> Tensor:
        seen = self.features(pictures) @ self.prototypes.features.T  # (B, D) @ (D, M)
        own = self.prototypes.index(self.concept)
        return (seen.argmax(1) == own) & (seen[:, own] >= self.least)


def nearest_prototype(features: Features, pictures: Mapping[str, Tensor], concept: str) -> NearestPrototype:
    """A detector from pictures (P, 3, H, W) of the concept and of each alternative, by name."""
    seen = {name: unit(features(of)) for name, of in pictures.items()}
    rows = torch.stack([prototype_of(of) for of in seen.values()])  # (M, D)
    rest = torch.cat([of for name, of in seen.items() if name != concept] or [rows[:0]])
    least = least_likeness(seen[concept], rest) if len(rest) else -1.0
    return NearestPrototype(features, Prototypes(tuple(pictures), rows), concept, least)


def least_likeness(own: Tensor, others: Tensor) -> float:
    """Half-way between how like a concept its own pictures are and how like it pictures of other things are.

    Args:
        own: (P, D) unit features of pictures of the concept; each is compared with the mean of the others.
        others: (Q, D) unit features of pictures of other things.
    """
    alike = others @ prototype_of(own)  # (Q,)
    if len(own) < 2:
        return float((1 + alike.mean()) / 2)
    rest = [prototype_of(torch.cat([own[:i], own[i + 1 :]])) for i in range(len(own))]
    itself = torch.stack([one @ mean for one, mean in zip(own, rest, strict=True)])  # (P,)
    return float((itself.mean() + alike.mean()) / 2)
