"""Purifying pictures: where the concepts are, what is drawn anew there, and what is said of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ....core.backbone import Backbone
from ....core.erase.guards.guard import Guarded, Guarding
from ....core.erase.guards.regions import Region, RegionSettings
from ....core.erase.purifying import PurifyTask, cells_of, purify, regions_of
from ....core.inversion import OnStep, Trajectory
from ....core.masks.upsample import covered_size, to_pixels
from ....core.messages import there_are
from ...adapters import backbone_of, noise_levels_of
from ...shared.guards import SamplingGuard
from .sole_guard import sole_guard


@dataclass(frozen=True, eq=False)
class Purified:
    """What comes of purifying.

    Attributes:
        pictures: (B, 3, H, W) in 0..1.
        masks: (B, H, W) in 0..1, where they were drawn anew.
        said: what was found, for people.
    """

    pictures: Tensor
    masks: Tensor
    said: str


@dataclass(frozen=True, eq=False)
class Purification:
    """What is purified.

    Attributes:
        model: the MODEL that draws.
        path: the same as a backbone, with its prompt and guidance.
        pictures: (B, 3, H, W) in 0..1.
        concepts: what is taken out.
        masks: (N, H', W') in 0..1 where it is, one for each picture or one for all; None to find it.
        settings: how it is found.
        guard: what keeps it out while the model draws; None for nothing but the guard that the model may have.
        original: the MODEL from which nothing was erased; None for the model itself.
        noise: share of the noise levels that are gone through, above 0, at most 1.
        steps: sampling steps from the highest level, of which that share is taken.
        scheduler: of the levels.
        inverted: see :class:`~....core.erase.purifying.PurifyTask`.
        seed: of all that is random.
    """

    model: Any
    path: Trajectory
    pictures: Tensor
    concepts: tuple[Guarded, ...]
    masks: Tensor | None
    settings: RegionSettings
    guard: SamplingGuard | None
    original: Any
    noise: float
    steps: int
    scheduler: str = "normal"
    inverted: bool = False
    seed: int = 0

    @property
    def taken(self) -> int:
        """Steps that are taken of all."""
        return max(1, round(self.noise * self.steps))


def purify_pictures(asked: Purification, on_step: OnStep | None = None) -> Purified:
    """Find the concepts and draw the pictures anew there.

    Raises ``ValueError`` for a share of noise that is none, masks that are neither one nor as many as pictures, a guard
    beside that of the model, one that no step reaches, and as the guard's check does.
    """
    if not 0 < asked.noise <= 1:
        raise ValueError(f"noise must be above 0 and at most 1, got {asked.noise:g}")
    backbone, guard = asked.path.backbone, _guard_of(asked)
    original = backbone if asked.original is None else backbone_of(asked.original)
    size, cell = (asked.pictures.shape[-2], asked.pictures.shape[-1]), backbone.latent_downscale
    if guard is not None:
        guard.check(backbone)
    levels = noise_levels_of(asked.model, asked.scheduler, asked.steps)[-(asked.taken + 1) :]
    begin = None if guard is None else _beginning(guard, backbone, original, levels)
    found, cells = _regions(asked, backbone, original)
    task = PurifyTask(asked.path, asked.pictures, cells, levels, asked.seed, asked.inverted, begin)
    masks = to_pixels(cells.cpu(), size, covered=covered_size(size, cell))
    return Purified(purify(task, on_step), masks, _said(asked, found, masks))


def _guard_of(asked: Purification) -> SamplingGuard | None:
    """What guards the drawing: what was asked for, or what the model has."""
    own = sole_guard(asked.model, "model")
    if own is not None and asked.guard is not None:
        raise ValueError(
            f"model has a guard ({own.title}), and method asks for another ({asked.guard.title}); set method to none, "
            "or connect the model without the guard"
        )
    return asked.guard or own


def _beginning(guard: SamplingGuard, backbone: Backbone, original: Backbone, levels: Tensor) -> Guarding:
    """Begins a guard's run on what is drawn. Raises ``ValueError`` for a guard that acts at none of the levels."""
    asked = original if guard.original is None else backbone_of(guard.original)
    if not any(guard.acts(backbone, level) for level in levels[:-1]):
        raise ValueError(
            f"{guard.title} acts at none of the noise levels that the picture goes through; raise noise, or let the "
            "guard act until the end of denoising (end=1 in its settings)"
        )
    return lambda drawn: guard.begin(drawn, asked)


def _regions(asked: Purification, backbone: Backbone, original: Backbone) -> tuple[list[Region], Tensor]:
    """What was found of each concept, nothing where masks were given, and the cells (B, h, w) bool to draw anew."""
    pictures = asked.pictures
    if asked.masks is not None:
        size = (pictures.shape[-2], pictures.shape[-1])
        given = cells_of(asked.masks, size, backbone.latent_downscale)
        if len(given) not in (1, len(pictures)):
            counts = there_are((len(pictures), "picture"), (len(given), "mask"))
            raise ValueError(f"{counts}; give one for each picture, or one for all")
        return [], given.expand(len(pictures), -1, -1)
    latents = torch.cat([backbone.encode_image(one[None]) for one in pictures])
    found = regions_of(original, latents, asked.concepts, asked.settings, asked.seed)
    return found, torch.stack([region.cells for region in found]).any(0)


def _said(asked: Purification, found: Sequence[Region], masks: Tensor) -> str:
    """What was found in each picture and how much of it was drawn anew, for people."""
    lines = []
    for row, mask in enumerate(masks):
        seen = [
            f"{concept.name} {'found' if bool(region.cells[row].any()) else 'not found'} "
            f"(presence {float(region.presence[row]):.2f})"
            for concept, region in zip(asked.concepts if found else (), found, strict=True)
        ]
        share = float(mask.mean())
        done = f"{share:.0%} drawn anew" if share else "left as it is"
        lines.append(f"Picture {row + 1}: {'; '.join([*seen, done])}.")
    return "\n".join(lines)
