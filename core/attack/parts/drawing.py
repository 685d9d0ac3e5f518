"""Pictures that a model draws of prompts, some at a time."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ...backbone import Backbone, Placeholders
from ...erase.guards.guard import Guarding, GuardRun, guarded_step
from ...inversion import Trajectory, levels_of_steps
from ...sampling import ddim, encode_each, starting_noise
from .settings import AttackSettings

OnPasses = Callable[[int], None]
"""Called with the number of model passes just made, counted by pictures; may raise, to stop."""


def latent_size(backbone: Backbone, settings: AttackSettings) -> tuple[int, int]:
    """(h, w) of the latents of pictures."""
    cells = max(1, settings.side // backbone.latent_downscale)
    return cells, cells


def channels_of(backbone: Backbone) -> int:
    """Channels of the latents."""
    side = backbone.latent_downscale
    return backbone.encode_image(torch.zeros(1, 3, side, side)).shape[1]


@torch.no_grad()
def draw(
    backbone: Backbone,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: AttackSettings,
    on_passes: OnPasses,
    placeholders: Placeholders | None = None,
    guard: Guarding | None = None,
) -> Tensor:
    """A picture (B, 3, H, W) in 0..1, on the CPU, of each prompt from the noise of its seed; ``guard`` corrects every
    run."""
    negative, channels, parts = backbone.encode_text([""]), channels_of(backbone), []
    for at in range(0, len(prompts), settings.batch):
        texts = list(prompts[at : at + settings.batch])
        positive, own = encode_each(backbone, texts, placeholders), list(seeds[at : at + len(texts)])
        size, counted = latent_size(backbone, settings), _counted(on_passes, 2 * len(texts))
        if guard is None:
            latent = ddim(
                backbone,
                positive,
                negative,
                size,
                channels=channels,
                steps=settings.steps,
                guidance=settings.guidance,
                seed=own,
                on_step=counted,
            )
        else:
            path = Trajectory(backbone, positive, negative, settings.guidance)
            noise = starting_noise((len(texts), channels, *size), own).to(positive.context.device)
            latent = _guarded(path, noise, settings, guard(), counted)
        parts.append(decoded(backbone, latent))
    return torch.cat(parts)


def _guarded(
    path: Trajectory, noise: Tensor, settings: AttackSettings, guard: GuardRun, on_step: Callable[[int, int], None]
) -> Tensor:
    """Latents (B, C, h, w) that are drawn from unit noise, every step under a guard."""
    levels = levels_of_steps(path.backbone.schedule, settings.steps).to(noise)
    latent = path.noised(torch.zeros_like(noise), noise, levels[0])
    for step, (level, following) in enumerate(pairwise(levels), 1):
        latent, slope = guarded_step(guard, path, latent, level)
        latent = latent + (following - level) * slope
        on_step(step, settings.steps)
    return latent


def decoded(backbone: Backbone, latent: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in 0..1 of scaled latents, on the CPU."""
    return backbone.decode_latent(latent).float().clamp(0, 1).cpu()


def _counted(on_passes: OnPasses, passes: int) -> Callable[[int, int], None]:
    return lambda step, total: on_passes(passes)
