"""What a concept head reads of pictures: a number for each concept, and where there are positions, those too."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ...explain.activations import Origin

FeatureKind = Literal["words", "raw", "ingredients"]


@dataclass(frozen=True, eq=False)
class HeadFeatures:
    """Features of P pictures.

    Attributes:
        values: (P, F) a number for each concept: similarity to a word, strength of an ingredient, or a raw number.
        names: F names, unique.
        origin: the encoder that ``values`` come from.
        kind: what the numbers are.
        maps: (P, T, F) the same at every position, for ingredients; None elsewhere.
        tokens: (P, T, D) states of positions, which a local layer reads; None where none were recorded.
        grid: (h, w) with T = h * w; None without positions.
        site: the layer that ``tokens`` come from; "" without them.
    """

    values: Tensor
    names: tuple[str, ...]
    origin: Origin
    kind: FeatureKind
    maps: Tensor | None = None
    tokens: Tensor | None = None
    grid: tuple[int, int] | None = None
    site: str = ""

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.names) or not self.values.numel():
            raise ValueError(
                f"features must be (pictures, {len(self.names)} concepts) with at least one of each, got "
                f"{tuple(self.values.shape)}"
            )
        if not bool(torch.isfinite(self.values).all()):
            raise ValueError("features of pictures are not finite (NaN or infinite); check the pictures")

    def __len__(self) -> int:
        return len(self.values)

    def of(self, chosen: Tensor | Sequence[int]) -> "HeadFeatures":
        """Those of some of the pictures, by their numbers or by a mask."""
        which = torch.as_tensor(chosen)
        maps, tokens = (None if one is None else one[which] for one in (self.maps, self.tokens))
        return replace(self, values=self.values[which], maps=maps, tokens=tokens)

    def joined(self, other: "HeadFeatures") -> "HeadFeatures":
        """These, then those of further pictures, read alike."""
        pairs = ((self.maps, other.maps), (self.tokens, other.tokens))
        maps, tokens = (None if a is None or b is None else torch.cat([a, b]) for a, b in pairs)
        return replace(self, values=torch.cat([self.values, other.values]), maps=maps, tokens=tokens)


@dataclass(frozen=True, eq=False)
class Scaling:
    """Columns at mean 0 and deviation 1; one that never changes stays 0.

    Attributes:
        centre, scale: (F,).
    """

    centre: Tensor
    scale: Tensor

    @classmethod
    def of(cls, values: Tensor) -> "Scaling":
        """That of rows (n, F)."""
        deviation = values.std(0, correction=0)
        usual = float(deviation.max())
        flat = deviation <= 1e-5 * max(usual, 1e-12)
        return cls(values.mean(0), torch.where(flat, torch.full_like(deviation, max(usual, 1.0)), deviation))

    def apply(self, values: Tensor) -> Tensor:
        """Rows (..., F), scaled."""
        return (values - self.centre.to(values)) / self.scale.to(values)
