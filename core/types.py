"""The results that travel between methods, and between nodes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from .messages import listed

Outline = Literal["smooth", "edges"]


@dataclass(frozen=True, eq=False)
class Concepts:
    """Concepts of one picture.

    Attributes:
        masks: (N, h, w) bool on the clustering grid; disjoint when a localiser made them.
        targets: (N, h, w) float, each non-negative and summing to 1: where the concept's attention lies.
        names: N names, unique, used as placeholders ``<name>``.
        scores: (N,) float, the localiser's saliency (1 = as salient as the mean of the picture).
        picture_size: (H, W) of the picture in pixels.
        notes: what the localiser had to decide (fall-backs taken), for people.
        covered: (H, W) of the centred part of the picture that the grid stands for, where a model crops sides to
            multiples of its latent cells; None is all of it.
        outline: how masks are drawn in the picture's size: ``smooth`` from the grid alone, ``edges`` along the edges of
            the picture, where that is at hand.
    """

    masks: Tensor
    targets: Tensor
    names: tuple[str, ...]
    scores: Tensor
    picture_size: tuple[int, int]
    notes: tuple[str, ...] = ()
    covered: tuple[int, int] | None = None
    outline: Outline = "smooth"

    def __post_init__(self) -> None:
        n = len(self.names)
        if self.masks.ndim != 3 or self.masks.dtype != torch.bool or len(self.masks) != n:
            raise ValueError(
                f"masks must be bool (N, h, w) with N = {n} names, got {self.masks.dtype} {tuple(self.masks.shape)}"
            )
        if self.targets.shape != self.masks.shape or self.scores.shape != (n,):
            raise ValueError(
                f"targets {tuple(self.targets.shape)} and scores {tuple(self.scores.shape)} "
                f"do not fit masks {tuple(self.masks.shape)}"
            )
        if len(set(self.names)) != n:
            raise ValueError(f"concept names must differ, got {listed(self.names)}")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the masks."""
        return self.masks.shape[1], self.masks.shape[2]

    def pick(self, order: list[int]) -> "Concepts":
        """The concepts with these indices, in this order."""
        index = torch.tensor(order, dtype=torch.long)
        return replace(
            self,
            masks=self.masks[index],
            targets=self.targets[index],
            names=tuple(self.names[i] for i in order),
            scores=self.scores[index],
        )


@dataclass(frozen=True, eq=False)
class Source:
    """A picture and the concepts found in it.

    Attributes:
        picture: (1, 3, H, W) in 0..1.
        concepts: N concepts of it.
    """

    picture: Tensor
    concepts: Concepts


@dataclass(frozen=True, eq=False)
class LowRank:
    """A weight change ``up @ down``: up (d_out, r), down (r, d_in)."""

    up: Tensor
    down: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """(d_out, d_in)."""
        return self.up.shape[0], self.down.shape[1]

    def checked(self) -> "LowRank":
        """Itself. Raises ``ValueError`` for factors that do not fit each other."""
        if self.up.ndim != 2 or self.down.ndim != 2 or self.up.shape[1] != self.down.shape[0]:
            up, down = tuple(self.up.shape), tuple(self.down.shape)
            raise ValueError(f"has factors up {up} and down {down}, which do not fit each other")
        return self

    def dense(self) -> Tensor:
        """(d_out, d_in)."""
        return self.up @ self.down

    def clone(self) -> "LowRank":
        """The same of tensors of its own."""
        return LowRank(self.up.clone(), self.down.clone())


@dataclass(frozen=True, eq=False)
class FullChange:
    """A weight change given whole.

    Attributes:
        change: (d_out, d_in).
    """

    change: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """(d_out, d_in)."""
        return self.change.shape[0], self.change.shape[1]

    def dense(self) -> Tensor:
        """(d_out, d_in)."""
        return self.change


Change = LowRank | FullChange
"""A change of one weight."""


class SamplingGuard(Protocol):
    """A correction of what the model predicts while a picture is sampled."""

    @property
    def negative(self) -> str:
        """The prompt whose prediction the guard needs."""
        ...

    def correct(self, predicted: Tensor, guarded: Tensor, timestep: Tensor) -> Tensor:
        """The prediction to go on with.

        Args:
            predicted: (B, C, h, w), what the guider made.
            guarded: (B, C, h, w), the prediction for :attr:`negative`.
            timestep: (B,) long.
        """
        ...


@dataclass(frozen=True, eq=False)
class ConceptTokens:
    """Learnt tokens.

    Attributes:
        vectors: concept name (without brackets) to text encoder name to (n, d) float32.
        family: the backbone family they were learnt on.
        losses: (steps,) float, the training loss.
        metadata: settings and provenance, strings as safetensors metadata wants them.
        adapter: weight name (the host's) to a change of the model that belongs to the tokens and must be in force
            when they are used; empty for tokens that stand for themselves.
    """

    vectors: Mapping[str, Mapping[str, Tensor]]
    family: str
    losses: Tensor = field(default_factory=lambda: torch.zeros(0))
    metadata: Mapping[str, str] = field(default_factory=dict)
    adapter: Mapping[str, LowRank] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.vectors)

    def placeholders(self) -> dict[str, Mapping[str, Tensor]]:
        """``<name>`` and, for the i-th concept, ``<i>`` (from 1), to their vectors."""
        numbered = {f"<{i}>": vectors for i, vectors in enumerate(self.vectors.values(), 1)}
        return numbered | {f"<{name}>": vectors for name, vectors in self.vectors.items()}


@dataclass(frozen=True, eq=False)
class Erasure:
    """An edit of a model that erases concepts.

    Attributes:
        factors: weight name of the denoiser (the host's) to its change at strength 1, low-rank or full.
        strength: multiplier in force; 0 leaves the model as it is, negative amplifies.
        family: the backbone family it was made for.
        metadata: concepts, anchors, settings.
        text: text encoder name to its changes at strength 1, by weight name.
        guards: corrections that samplers apply while a picture is drawn.
        seconds: how long the edit took, and of a training that was resumed, its last run; None where that is not known,
            as of an edit that is read from a file.
    """

    factors: Mapping[str, Change]
    strength: float
    family: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    text: Mapping[str, Mapping[str, Change]] = field(default_factory=dict)
    guards: tuple[SamplingGuard, ...] = ()
    seconds: float | None = None
