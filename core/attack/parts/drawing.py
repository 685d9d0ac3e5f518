"""Pictures that a model draws of prompts, some at a time."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ...backbone import Backbone, Placeholders
from ...erase.guards.guard import Guarding, GuardRun, guarded_step
from ...inversion import Trajectory, levels_of_steps
from ...sampling import ddim, encode_for_passes, starting_noise
from .settings import AttackSettings

OnPasses = Callable[[int], None]
"""Called with the number of model passes just made, counted by pictures; may raise, to stop."""


def latent_size(backbone: Backbone, settings: AttackSettings) -> tuple[int, int]:
    """(h, w) of the latents of pictures."""
    cells = max(1, settings.side // backbone.latent_downscale)
    return cells, cells


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
    negative, size, parts = backbone.encode_text([""]), latent_size(backbone, settings), []
    for at in range(0, len(prompts), settings.batch):
        texts, some = list(prompts[at : at + settings.batch]), list(seeds[at : at + settings.batch])
        for rows, positive in encode_for_passes(backbone, texts, placeholders):
            own, counted = [some[row] for row in rows], _counted(on_passes, 2 * len(rows))
            if guard is None:
                latent = ddim(
                    backbone,
                    positive,
                    negative,
                    size,
                    channels=backbone.latent_channels,
                    steps=settings.steps,
                    guidance=settings.guidance,
                    seed=own,
                    on_step=counted,
                )
            else:
                path = Trajectory(backbone, positive, negative, settings.guidance)
                latent = _guarded(path, own, size, settings, guard(backbone), counted)
            parts.append(decoded(backbone, latent))
    return torch.cat(parts)


def _guarded(
    path: Trajectory,
    seeds: Sequence[int],
    size: tuple[int, int],
    settings: AttackSettings,
    guard: GuardRun,
    on_step: Callable[[int, int], None],
) -> Tensor:
    """Latents (B, C, h, w) that are drawn from the noise of seeds, every step under a guard."""
    noise = starting_noise((len(seeds), path.backbone.latent_channels, *size), seeds).to(path.device)
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
