"""Activations: what a model computes at every position of pictures, and where that comes from."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..fingerprints import VALUES, alike, number_of
from ..messages import shown

Kind = Literal["encoder", "denoiser"]

MAX_BYTES = 4 * 2**30
"""Of the activations of one recording: 500 pictures of 257 positions and 1024 numbers take 0.5 GB."""


@dataclass(frozen=True)
class Origin:
    """Where activations come from.

    Attributes:
        kind: ``encoder`` for a picture encoder, ``denoiser`` for a diffusion model.
        model: the model's name for people.
        fingerprint: numbers of the model's weights, see :func:`fingerprint_of`.
        site: the layer, by the host's name.
        width: numbers per position.
        noise: share of noise in the picture that a denoiser saw; None for encoders.
        text: the prompt that a denoiser read meanwhile.
    """

    kind: Kind
    model: str
    fingerprint: tuple[float, ...]
    site: str
    width: int
    noise: float | None = None
    text: str = ""

    @property
    def title(self) -> str:
        """For people, such as ``lab image tower, site 4``."""
        seen = "" if self.noise is None else f", noise {self.noise:g}"
        seen += f", under {shown(self.text)}" if self.text else ""
        return f"{self.model}, site {self.site}{seen}"


@dataclass(frozen=True, eq=False)
class Activations:
    """Activations of P pictures.

    Attributes:
        rows: (P, h * w, D) float32 on the CPU, positions in reading order, without class or register tokens.
        grid: (h, w).
        origin: where they come from.
        covered: (H, W) of the centred part of the pictures that the grid stands for, where a model crops sides to
            multiples of its cells; None is all of it.
    """

    rows: Tensor
    grid: tuple[int, int]
    origin: Origin
    covered: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        height, width = self.grid
        fits = self.rows.ndim == 3 and self.rows.shape[1:] == (height * width, self.origin.width)
        if not fits or not len(self.rows):
            raise ValueError(
                f"activations must be (pictures, {height * width}, {self.origin.width}) for a grid of {height}x{width}"
                f", got {tuple(self.rows.shape)}"
            )
        if not bool(torch.isfinite(self.rows).all()):
            raise ValueError(f"activations of {self.origin.title} are not finite (NaN or infinite); check the pictures")

    def __len__(self) -> int:
        return len(self.rows)

    def joined(self, other: "Activations") -> "Activations":
        """These, then those of further pictures. Raises ``ValueError`` for another origin or grid."""
        differs = mismatch(self.origin, other.origin)
        if differs or (self.grid, self.covered) != (other.grid, other.covered):
            raise ValueError(f"activations that are joined must be recorded alike, got {differs or 'another grid'}")
        return Activations(torch.cat([self.rows, other.rows]), self.grid, self.origin, self.covered)

    @property
    def megabytes(self) -> float:
        """What they take in memory."""
        return self.rows.numel() * self.rows.element_size() / 2**20

    def part(self, chosen: slice) -> "Activations":
        """Those of some of the pictures."""
        return replace(self, rows=self.rows[chosen])

    def sample(self, most: int, generator: torch.Generator, within: Tensor | None = None) -> Tensor:
        """At most so many rows (n, D), drawn evenly from all pictures without repetition; of ``within`` (P, h * w)
        bool alone, where it is given."""
        flat = self.rows.flatten(0, 1) if within is None else self.rows[within]
        if len(flat) <= most:
            return flat
        return flat[torch.randperm(len(flat), generator=generator)[:most].sort().values]


def check_memory(pictures: int, positions: int, width: int) -> None:
    """Raises ``ValueError`` where activations would take more than :data:`MAX_BYTES`, saying how many pictures fit."""
    each = positions * width * 4
    if pictures * each > MAX_BYTES:
        raise ValueError(
            f"activations of {pictures} pictures would take {pictures * each / 2**30:.1f} GB; "
            f"at most {MAX_BYTES // each} pictures fit into {MAX_BYTES / 2**30:.0f} GB at this layer, so give fewer"
        )


def fingerprint_of(weights: list[Tensor], numbers: int = 8, values: int = VALUES) -> tuple[float, ...]:
    """Numbers that identify a model, whatever type it was loaded as (:mod:`..fingerprints`), to four digits.

    Args:
        weights: of the model, in a fixed order; ``numbers`` of them, spread evenly, give one number each.
        values: of each weight that are read.

    Raises ``ValueError`` without weights.
    """
    if not weights:
        raise ValueError("a model without weights has no fingerprint")
    chosen = torch.linspace(0, len(weights) - 1, min(numbers, len(weights))).long().tolist()
    return tuple(round(number_of(weights[index], values), 4) for index in chosen)


def mismatch(wanted: Origin, given: Origin) -> str:
    """How activations differ from those that a bank was found in, in words; "" where the bank fits them. The text
    may be another one: ingredients are looked for under it on purpose."""
    if wanted.width != given.width:
        return f"{given.width} numbers per position instead of {wanted.width}"
    if wanted.site != given.site:
        return f"site {given.site} instead of {wanted.site}"
    if not alike(given.fingerprint, wanted.fingerprint):
        return f"another model ({given.model}, with other weights than the {wanted.model} of the ingredients)"
    if wanted.noise != given.noise:
        return f"noise {given.noise} instead of {wanted.noise}"
    return ""
