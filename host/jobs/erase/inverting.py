"""Inverting pictures into what samplers start from."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ....core.inversion import Inverted, OnStep, Trajectory, invert, level_table
from ....core.steps import of_part
from ...adapters import latent_of, noise_levels_of
from ...shared.noise import GivenNoise

SCHEDULERS = ("normal", "simple", "karras")
"""Those that both hosts have."""


@dataclass(frozen=True, eq=False)
class InvertedPictures:
    """What comes of inverting pictures.

    Attributes:
        latent: a LATENT at the first noise level, for samplers that add no noise.
        noise: the same as NOISE, for samplers that take one.
        returned: (B, 3, H, W) the pictures that drawing from it gives, in 0..1.
        said: how far those are from the pictures that were given, for people.
    """

    latent: dict[str, Any]
    noise: GivenNoise
    returned: Tensor
    said: str


def invert_pictures(
    model: Any,
    trajectory: Trajectory,
    pictures: Tensor,
    scheduler: str,
    steps: int,
    start_at_step: int = 0,
    passes: int = 4,
    on_step: OnStep | None = None,
) -> InvertedPictures:
    """Invert pictures (B, 3, H, W) in 0..1 along the noise levels of the host's samplers.

    Args:
        model: the MODEL of the trajectory.
        trajectory: model and prompt.
        pictures: what to invert.
        scheduler: one of :data:`SCHEDULERS`.
        steps: of the sampler that will draw.
        start_at_step: the step that drawing will start at.
        passes: see :func:`~....core.inversion.invert`.
        on_step: see there.

    Raises ``ValueError`` for a step that is not among the steps, and as :func:`~....core.inversion.invert` does.
    """
    if not 0 <= start_at_step < steps:
        raise ValueError(f"start_at_step must be from 0 to {steps - 1}, below the number of steps, got {start_at_step}")
    levels = noise_levels_of(model, scheduler, steps)[start_at_step:]
    backbone, parts = trajectory.backbone, []
    clean = torch.cat([backbone.encode_image(one[None]) for one in pictures])
    for row, one in enumerate(clean.split(1)):  # each by itself: memory for one, and passes that it alone needs
        parts.append(invert(trajectory, one, levels, passes=passes, on_step=of_part(on_step, row, len(clean))))
    start, returned = torch.cat([one.start for one in parts]), torch.cat([one.returned for one in parts])
    inverted = Inverted(start, returned, levels)
    before, after = (
        torch.cat([backbone.decode_latent(one) for one in latents.split(1)]) for latents in (clean, inverted.returned)
    )
    return InvertedPictures(
        latent_of(model, _held(trajectory, inverted)),
        GivenNoise(_noise(trajectory, inverted).float().cpu()),
        after,
        _said(trajectory, inverted, clean, (after - before).abs().mean((1, 2, 3))),
    )


def _held(trajectory: Trajectory, inverted: Inverted) -> Tensor:
    """The latents that a sampler without noise of its own starts from as they are: a flow takes the share of the
    picture of them."""
    share = 1 - float(inverted.levels[0])
    return inverted.start / share if trajectory.flow and share > 0 else inverted.start


def _noise(trajectory: Trajectory, inverted: Inverted) -> Tensor:
    """The noise of which a sampler makes the start, with an empty latent."""
    level = float(inverted.levels[0])
    if trajectory.flow:
        return inverted.start / level
    most = float(level_table(trajectory.backbone.schedule)[-1])
    full = level > most or math.isclose(level, most, rel_tol=1e-5)  # then it has the variance of a whole latent
    return inverted.start / (math.sqrt(1 + level**2) if full else level)


def _said(trajectory: Trajectory, inverted: Inverted, clean: Tensor, pixels: Tensor) -> str:
    """What drawing again changes, for people."""
    shares = inverted.error(clean)
    lines = [
        f"Drawn again, the latent differs by {100 * float(shares.mean()):.2g}% and the picture by "
        f"{float(pixels.mean()):.2g} of 1 on average ({len(clean)} {'picture' if len(clean) == 1 else 'pictures'})."
    ]
    if len(clean) > 1:
        lines.append("Each picture: " + ", ".join(f"{float(one):.2g}" for one in pixels) + ".")
    if float(shares.max()) > WIDE:
        lines.append("This is a large difference: use guidance 1, more passes, or more steps.")
    if trajectory.flow and float(inverted.levels[0]) >= 1:
        lines.append(
            "This is a flow model: use NOISE with SamplerCustomAdvanced, or start_at_step 1 and LATENT; LATENT alone "
            "is multiplied by 0 at the first step."
        )
    return "\n".join(lines)


WIDE = 0.1
"""The share of the latent from which a difference is called much."""
