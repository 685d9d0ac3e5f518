"""Concept banks: directions that were found in activations; and codes, how strongly each position uses them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..messages import listed, shown
from .activations import Activations, Origin, mismatch

ACTIVE = 0.5
"""A concept counts as present where its code exceeds this share of its peak."""


@dataclass(frozen=True, eq=False)
class ConceptBank:
    """K concepts of one model and site.

    Attributes:
        directions: (K, D) float32, unit length, in the space of centred and scaled rows.
        names: K names, unique.
        kind: the method that found them, a key of :data:`.registry.CODERS`, which says how codes are computed.
        origin: the model and site.
        centre: (D,), subtracted from rows first.
        scale: (D,), positive; rows are divided by it.
        peaks: (K,) positive: the codes that count as full; :func:`peaks_of` says how they are chosen.
        usual: (K,) the mean code of a position in the pictures that they were found in, over the peak.
        stability: (K,) in -1..1: the mean cosine with the same concept of other seeds; 1 for a single seed.
        extra: further tensors of the method (the encoder of a sparse autoencoder).
        metadata: settings and provenance, as safetensors metadata wants them.
        halves: (K,) in -1..1: the mean cosine with the same concept found in either half of the pictures alone; None
            where that was not measured.
    """

    directions: Tensor
    names: tuple[str, ...]
    kind: str
    origin: Origin
    centre: Tensor
    scale: Tensor
    peaks: Tensor
    usual: Tensor
    stability: Tensor
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    halves: Tensor | None = None

    def __post_init__(self) -> None:
        k, width = len(self.names), self.origin.width
        shapes = {
            "directions": (self.directions, (k, width)),
            "centre": (self.centre, (width,)),
            "scale": (self.scale, (width,)),
            "peaks": (self.peaks, (k,)),
            "usual": (self.usual, (k,)),
            "stability": (self.stability, (k,)),
        }
        if self.halves is not None:
            shapes["halves"] = (self.halves, (k,))
        for name, (tensor, expected) in shapes.items():
            if tuple(tensor.shape) != expected:
                raise ValueError(f"{name} of {k} ingredients must be {expected}, got {tuple(tensor.shape)}")
            if not bool(torch.isfinite(tensor).all()):
                raise ValueError(f"{name} of the ingredients is not finite (NaN or infinite); find them anew")
        if len(set(self.names)) != k or not k:
            raise ValueError(
                f"names of ingredients must differ, and there must be at least one, got {listed(self.names)}"
            )

    def __len__(self) -> int:
        return len(self.names)

    def prepared(self, rows: Tensor) -> Tensor:
        """Rows (..., D) of activations, centred and scaled."""
        return (rows - self.centre.to(rows)) / self.scale.to(rows)

    def restored(self, prepared: Tensor) -> Tensor:
        """The reverse of :meth:`prepared`."""
        return prepared * self.scale.to(prepared) + self.centre.to(prepared)

    def index(self, name: str) -> int:
        """The number of a concept by its name, whatever its case, or by its number from 1. Raises ``ValueError`` for
        neither."""
        if name in self.names:
            return self.names.index(name)
        if name.isdecimal() and 1 <= int(name) <= len(self):
            return int(name) - 1
        lower = [own.lower() for own in self.names]
        if name.lower() in lower:
            return lower.index(name.lower())
        given = [own for own in self.names if not own[0].isdecimal()]
        there = f"these have numbers, 1 to {len(self)}; Show Ingredients names them by CLIP_VISION and CLIP"
        if given:
            there = f"the names are {listed(given, 32)}, and the numbers 1 to {len(self)}"
        raise ValueError(f"there is no ingredient {shown(name)}; {there}")

    def renamed(self, names: Mapping[int, str]) -> "ConceptBank":
        """With other names, by number from 0; a name that is taken gets a number behind it."""
        wanted = [names.get(index, name) for index, name in enumerate(self.names)]
        return replace(self, names=tuple(_distinct(wanted)))


@dataclass(frozen=True, eq=False)
class ConceptCodes:
    """How strongly each position of P pictures uses K concepts.

    Attributes:
        values: (P, h * w, K), non-negative.
        grid: (h, w).
        bank: the concepts.
        covered: as :attr:`Activations.covered`.
    """

    values: Tensor
    grid: tuple[int, int]
    bank: ConceptBank
    covered: tuple[int, int] | None = None

    def maps(self, concepts: Sequence[int] | None = None) -> Tensor:
        """(P, K, h, w) in 0..1: codes as shares of each concept's peak, of all K concepts or of those with these
        numbers."""
        chosen = slice(None) if concepts is None else list(concepts)
        shares = (self.values[..., chosen] / self.bank.peaks[chosen]).clamp(0, 1)  # (P, T, K)
        return shares.mT.unflatten(-1, self.grid)

    def of_picture(self, number: int) -> "ConceptCodes":
        """The codes of one of the pictures."""
        return replace(self, values=self.values[number : number + 1])

    def scores(self) -> Tensor:
        """(P, K): how strongly each picture shows each concept, the largest code of its positions over the peak."""
        return (self.values / self.bank.peaks).amax(1)

    def prevalence(self) -> Tensor:
        """(K,) share of pictures that show each concept."""
        return (self.scores() > ACTIVE).float().mean(0)


def check_fits(bank: ConceptBank, activations: Activations) -> None:
    """Raises ``ValueError``, in one sentence, for activations of another model, site, width or noise level."""
    other = mismatch(bank.origin, activations.origin)
    if other:
        raise ValueError(
            f"these ingredients were found in {bank.origin.title}, and the activations have {other}: record the "
            "activations as the ingredients' were, or find ingredients anew"
        )


def peaks_of(codes: Tensor) -> Tensor:
    """(K,) of codes (P, h * w, K) of pictures: twice the value that best divides pictures into those that show a
    concept and those that do not, so that :data:`ACTIVE` of it is that value; 1 where a concept is never used.

    It divides the largest code of each picture with the greatest variance between both groups (Otsu 1979).
    """
    return torch.tensor([2 * dividing_value(column) for column in codes.amax(1).T]).clamp(min=1e-8)


def dividing_value(column: Tensor) -> float:
    """The value that best divides numbers (n,) into low and high ones (Otsu)."""
    values = column.double().sort().values
    if len(values) < 2 or values[0] == values[-1]:  # nothing to divide: all show it, or none
        return float(values[-1]) / 2 if len(values) and values[-1] > 0 else 0.5
    below = torch.arange(1, len(values), dtype=torch.float64)  # how many are low, for each cut
    above = len(values) - below
    sums = values.cumsum(0)
    low, high = sums[:-1] / below, (sums[-1] - sums[:-1]) / above
    cut = int((below * above * (high - low).square()).argmax())
    return float(values[cut] + values[cut + 1]) / 2


def _distinct(names: list[str]) -> list[str]:
    taken: set[str] = set()
    found = []
    for name in names:
        free, number = name, 1
        while free in taken:
            number += 1
            free = f"{name} {number}"
        taken.add(free)
        found.append(free)
    return found
