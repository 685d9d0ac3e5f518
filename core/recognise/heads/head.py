"""Concept heads: features to concepts to classes, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ...explain.activations import Origin, mismatch
from ...explain.bank import ConceptBank
from ...messages import listed
from .features import FeatureKind, HeadFeatures, Scaling
from .layer import ConceptValues, Parameters
from .registry import LAYERS


@dataclass(frozen=True, eq=False)
class Fitted:
    """The numbers of a head with F features, K concepts and C classes.

    Attributes:
        given, made: how features, and values of concepts, are scaled.
        parameters: of the concept layer.
        weights: (C, K). bias: (C,).
    """

    given: Scaling
    made: Scaling
    parameters: Parameters
    weights: Tensor
    bias: Tensor

    def concepts(self, features: HeadFeatures, layer: str) -> ConceptValues:
        """Standardised values of concepts (P, K), and of positions."""
        found = LAYERS[layer].apply(scaled(features, self.given), self.parameters)
        maps = None if found.maps is None else self.made.apply(found.maps)
        return ConceptValues(self.made.apply(found.values), maps)

    def logits(self, values: Tensor) -> Tensor:
        """(P, C) of standardised values (P, K)."""
        return values @ self.weights.T + self.bias


def scaled(features: HeadFeatures, scaling: Scaling) -> HeadFeatures:
    """Features with their values, and those of positions, scaled."""
    maps = None if features.maps is None else scaling.apply(features.maps)
    return replace(features, values=scaling.apply(features.values), maps=maps)


@dataclass(frozen=True, eq=False)
class HeadVerdict:
    """What a head says of P pictures.

    Attributes:
        probabilities: (P, C), rows sum to one.
        parts: (P, C, K) what each concept adds for a class, beyond its mean over the classes.
        maps: (P, C, T) how strongly each position speaks for a class, 0 where it speaks against it; None without
            positions.
    """

    probabilities: Tensor
    parts: Tensor
    maps: Tensor | None


@dataclass(frozen=True, eq=False)
class ConceptHead:
    """What a CONCEPT_HEAD socket carries.

    Attributes:
        kind: what its features are.
        names: K concepts.
        classes: C names.
        layer: a name of :data:`.registry.LAYERS`.
        fitted: its numbers.
        origin: the encoder of the features.
        site: the layer of the encoder whose positions a local layer reads, else "".
        texts: (K, D) features of the words, for ``words``; empty elsewhere.
        bank: the ingredients, for ``ingredients``; None elsewhere.
        metadata: figures and settings, as safetensors metadata wants them.
    """

    kind: FeatureKind
    names: tuple[str, ...]
    classes: tuple[str, ...]
    layer: str
    fitted: Fitted
    origin: Origin
    site: str = ""
    texts: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    bank: ConceptBank | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expected = (len(self.classes), len(self.names))
        if tuple(self.fitted.weights.shape) != expected or len(self.classes) < 2:
            raise ValueError(
                f"weights of a head must be (classes, concepts), at least two classes, here {expected}, got "
                f"{tuple(self.fitted.weights.shape)}"
            )
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes must differ, got {listed(self.classes)}")

    def judge(self, features: HeadFeatures) -> HeadVerdict:
        """What it says of pictures. Raises ``ValueError`` for features of another encoder, layer or kind."""
        other = mismatch(self.origin, features.origin)
        if not other and features.kind != self.kind:
            other = f"{features.kind} instead of {self.kind}"
        if not other and features.names != self.names:
            other = "other concepts"
        if other:
            raise ValueError(f"this concept head was trained on {self.origin.title}, and the pictures have {other}")
        found = self.fitted.concepts(features, self.layer)
        weights = self.fitted.weights
        beyond = weights - weights.mean(0)  # (C, K)
        maps = None
        if found.maps is not None:
            maps = torch.einsum("ptk,ck->pct", found.maps, beyond).clamp(min=0)
        parts = found.values[:, None] * beyond[None]
        return HeadVerdict(self.fitted.logits(found.values).softmax(1), parts, maps)

    def reasons(self, index: int, most: int = 5) -> list[tuple[str, float]]:
        """The concepts that a class rests on with their weights beyond the mean over classes, the largest first."""
        beyond = (self.fitted.weights - self.fitted.weights.mean(0))[index]
        order = beyond.abs().argsort(descending=True, stable=True).tolist()
        return [(self.names[k], float(beyond[k])) for k in order[:most] if abs(float(beyond[k])) > 1e-6]
