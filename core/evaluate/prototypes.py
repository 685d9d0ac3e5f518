"""Prototypes: one feature per concept, to classify pictures by (ConceptExpress, arXiv 2407.07077, section 4.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..messages import listed, shown
from .similarity import unit


@dataclass(frozen=True, eq=False)
class Prototypes:
    """A set of concepts that a picture may show.

    Attributes:
        names: M names, unique.
        features: (M, D), a row each; brought to unit length.
    """

    names: tuple[str, ...]
    features: Tensor

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or len(self.features) != len(self.names):
            raise ValueError(
                f"{len(self.names)} prototypes need features ({len(self.names)}, D), got {tuple(self.features.shape)}"
            )
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"names of prototypes must differ, got {listed(self.names)}")
        object.__setattr__(self, "features", unit(self.features))

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """The row of a name. Raises ``ValueError`` for one it does not have."""
        if name not in self.names:
            raise ValueError(f"no prototype is called {shown(name)}; there are {listed(self.names) or 'none'}")
        return self.names.index(name)

    def with_others(self, others: "Prototypes") -> "Prototypes":
        """These, then those of ``others`` whose names are not taken.

        Raises ``ValueError`` where they are of another encoder.
        """
        if self.features.shape[1] != others.features.shape[1]:
            raise ValueError(
                f"prototypes of {self.features.shape[1]} and of {others.features.shape[1]} numbers cannot be joined: "
                "make both with the same picture encoder"
            )
        fresh = [i for i, name in enumerate(others.names) if name not in self.names]
        names = (*self.names, *(others.names[i] for i in fresh))
        return Prototypes(names, torch.cat([self.features, others.features[fresh].to(self.features)]))


def prototype_of(features: Tensor) -> Tensor:
    """The prototype (D,) of a concept seen in several pictures (P, D): the mean of their unit features, unit length.

    Raises ``ValueError`` for no picture at all, and as :func:`~.similarity.unit` does.
    """
    if features.ndim != 2 or len(features) == 0:
        raise ValueError(f"a prototype needs features (P, D) of at least one picture, got {tuple(features.shape)}")
    return unit(unit(features).mean(0))  # (P, D) to (D,)


def merge(names: Sequence[str], features: Tensor) -> Prototypes:
    """One prototype per distinct name, in order of first occurrence, from features (P, D) of P named pictures."""
    if len(names) != len(features):
        raise ValueError(f"{len(names)} names were given for features of {len(features)} pictures")
    distinct = tuple(dict.fromkeys(names))
    rows = [[i for i, name in enumerate(names) if name == one] for one in distinct]
    return Prototypes(distinct, torch.stack([prototype_of(features[row]) for row in rows]))
