"""Who says whether a picture shows a concept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..evaluate.prototypes import Prototypes, prototype_of
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
    """Finds a concept where a picture is more like it than like every named alternative.

    Attributes:
        features: see :data:`Features`.
        prototypes: of the concept and of the alternatives.
        concept: its name among them.
    """

    features: Features
    prototypes: Prototypes
    concept: str

    def __post_init__(self) -> None:
        self.prototypes.index(self.concept)
        if len(self.prototypes) < 2:
            raise ValueError(f"{shown(self.concept)} cannot be told from anything: name at least one alternative")

    def nearest(self, pictures: Tensor) -> list[str]:
        """The name of what each picture is most like."""
        seen = self.features(pictures) @ self.prototypes.features.T  # (B, D) @ (D, M)
        return [self.prototypes.names[i] for i in seen.argmax(1).tolist()]

    def found(self, pictures: Tensor) -> Tensor:
        return torch.tensor([name == self.concept for name in self.nearest(pictures)], dtype=torch.bool)


def nearest_prototype(features: Features, pictures: Mapping[str, Tensor], concept: str) -> NearestPrototype:
    """A detector from pictures (P, 3, H, W) of the concept and of each alternative, by name."""
    rows = torch.stack([prototype_of(features(of)) for of in pictures.values()])  # (M, D)
    return NearestPrototype(features, Prototypes(tuple(pictures), rows), concept)
