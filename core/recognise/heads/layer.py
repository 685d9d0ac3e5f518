"""The record of a concept layer: what stands between features and the linear head."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .features import HeadFeatures

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class LayerTask:
    """What a layer learns from.

    Attributes:
        features: of P pictures, ``values`` standardised.
        labels: (P,) long.
        classes: how many there are.
    """

    features: HeadFeatures
    labels: Tensor
    classes: int


@dataclass(frozen=True, eq=False)
class ConceptValues:
    """How strongly P pictures have K concepts.

    Attributes:
        values: (P, K).
        maps: (P, T, K) the same at every position, None without positions.
    """

    values: Tensor
    maps: Tensor | None = None


@dataclass(frozen=True, eq=False)
class ConceptLayer:
    """A concept layer.

    Attributes:
        name, title, help: as in workflows, for people, and what it does in one sentence.
        settings: the defaults, a dataclass.
        fit: a task, settings and a generator to parameters.
        apply: features, their ``values`` standardised, and parameters to values of concepts. The K concepts are those
            of the features.
        local: whether it reads states of positions beside similarities to words.
    """

    name: str
    title: str
    help: str
    settings: Any
    fit: Callable[[LayerTask, Any, torch.Generator], Parameters]
    apply: Callable[[HeadFeatures, Parameters], ConceptValues]
    local: bool = False
