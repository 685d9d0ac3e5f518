"""How a sampler combines what the model predicts without and with the prompt.

A guider is one small class with :meth:`Guider.combine`; both samplers (:mod:`..sampling` and the host's) call it.
To add one, write the class here and name it in :data:`GUIDERS`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from torch import Tensor


class Guider(Protocol):
    """Combines two predictions of one model; noise, velocity and clean latents alike, since it is linear in them."""

    @property
    def needs_negative(self) -> bool:
        """Whether the prediction for the negative prompt plays a part; a sampler may skip it otherwise."""
        ...

    def combine(self, negative: Tensor, positive: Tensor) -> Tensor:
        """The prediction to go on with.

        Args:
            negative: (B, C, h, w), predicted for the negative prompt.
            positive: (B, C, h, w), predicted for the positive prompt.
        """
        ...


@dataclass(frozen=True)
class ClassifierFree:
    """Classifier-free guidance: ``negative + scale (positive - negative)`` (Ho & Salimans, arXiv 2207.12598).

    Attributes:
        scale: 1 is the positive prediction alone; larger values follow the prompt more closely.
    """

    scale: float

    @property
    def needs_negative(self) -> bool:
        return not math.isclose(self.scale, 1.0)

    def combine(self, negative: Tensor, positive: Tensor) -> Tensor:
        return negative + self.scale * (positive - negative)


GUIDERS: Mapping[str, type[ClassifierFree]] = MappingProxyType({"classifier_free": ClassifierFree})
"""Guider name to its class; each is made from its scale."""
