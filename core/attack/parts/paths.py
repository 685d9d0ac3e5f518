"""Pictures drawn from the middle of a trajectory: along noise levels, with something done between two steps."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from ...backbone import Backbone, Placeholders
from ...erase.guards.guard import GuardRun, guarded_step
from ...inversion import Trajectory, levels_of_steps
from ...sampling import encode_for_passes, starting_noise
from .drawing import decoded
from .task import AttackTask

Between = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""Latents after a step, the clean ones that the step led towards, the noise level, and the number of the step from 1,
to the latents to go on with."""


def levels_of(task: AttackTask, backbone: Backbone) -> Tensor:
    """(steps + 1,) falling noise levels of the task's sampler."""
    return levels_of_steps(backbone.schedule, task.settings.steps)


def path_of(
    backbone: Backbone, prompts: list[str], guidance: float, placeholders: Placeholders | None = None
) -> Trajectory:
    """The sampler under prompts, a row each, which may name learnt tokens; without guidance for a guidance of 1."""
    negative = None if guidance == 1 else backbone.encode_text([""])
    passes = encode_for_passes(backbone, prompts, placeholders)
    return Trajectory(backbone, passes[0][1] if len(passes) == 1 else passes, negative, guidance)


def in_parts(task: AttackTask, make: Callable[[range], Tensor]) -> Tensor:
    """Rows (B, ...) of all pictures of a scenario, made of as many pictures at once as the settings say."""
    count, batch = task.settings.draws, task.settings.batch
    return torch.cat([make(range(at, min(at + batch, count))) for at in range(0, count, batch)])


def noise_like(task: AttackTask, latent: Tensor, rows: range, turn: int = 0) -> Tensor:
    """Unit noise for latents (B, C, h, w) of some rows of a scenario's pictures, by their seeds and a turn: each step
    has its own."""
    seeds = [(task.seeds[row] + 7919 * turn) % 2**63 for row in rows]
    return starting_noise(tuple(latent.shape), seeds).to(latent)


@torch.no_grad()
def draw_along(
    task: AttackTask, path: Trajectory, latent: Tensor, levels: Tensor, between: Between | None = None
) -> Tensor:
    """Pictures (B, 3, H, W) from latents at the first of falling levels (n + 1,), one step at a time."""
    each, latent = len(latent) * (1 if path.negative is None else 2), latent.to(path.device)
    guarding = task.guard_of(path.backbone)
    guard = GuardRun() if guarding is None else guarding(path.backbone)
    for step, (level, following) in enumerate(pairwise(levels.to(latent)), 1):
        latent, slope = guarded_step(guard, path, latent, level)  # (B, C, h, w) each
        led = latent + (following - level) * slope
        latent = led if between is None else between(led, led - following * slope, following, step)
        task.on_passes(each)
    return decoded(path.backbone, latent)


def encoded(path: Trajectory, pictures: Tensor, rows: range) -> Tensor:
    """Latents (B, C, h, w) of some rows of pictures, which repeat from the first, where the path has its prompts."""
    latents = [path.backbone.encode_image(pictures[row % len(pictures)][None]) for row in rows]
    return torch.cat(latents).to(path.device)
