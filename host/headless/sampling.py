"""Sampling without ComfyUI, step for step as its KSampler does it."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.messages import listed, shown
from ..shared.handles import ModelHandle
from .guided import Guided
from .noise_levels import level_table, model_levels
from .runs import prepare_run
from .samplers import FLOW_SAMPLERS, SAMPLERS
from .starts import SEEDS, Latent, prepare_noise, start_latent, start_samples


def sample(
    model: ModelHandle,
    positive: Sequence[Sequence[Any]],
    negative: Sequence[Sequence[Any]],
    latent: Latent,
    *,
    seed: int,
    steps: int = 20,
    cfg: float = 8.0,
    sampler_name: str = "euler",
    scheduler: str = "normal",
    denoise: float = 1.0,
    add_noise: bool = True,
    first: int = 0,
    last: int | None = None,
    leftover_noise: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Denoise a LATENT.

    Args:
        model: its patches are in force, its captures record.
        positive: CONDITIONING with one entry, or with several that each hold in a part of denoising, or of which some
            hold in a part of the picture.
        negative: CONDITIONING with one entry; not used at ``cfg`` 1.
        latent: what noise is added to; all zeros for a new picture.
        seed: 0..2**64 - 1; fixes the result.
        steps: number of steps taken, at least 1.
        cfg: guidance, ``uncond + cfg * (cond - uncond)``.
        sampler_name: ``euler``, ``euler_ancestral`` or ``ddim`` (which is ``euler``, as in ComfyUI).
        scheduler: ``normal``, ``simple`` or ``karras``.
        denoise: share of the way that is walked, 0 returns the latent as it is.
        add_noise: False starts from the latent as it is, which holds its noise already.
        first: the first step that is taken, counted from 0.
        last: the step that is no longer taken; None takes all.
        leftover_noise: whether a run that stops early keeps the noise of its last level; else its last step removes it.
        progress: called after every step with the finished and the total number. Before every step the run can be
            interrupted (:func:`check_interrupt`).

    Returns:
        A copy of ``latent`` with new ``samples``, float32.

    Raises:
        ValueError: for unknown names, values out of range, latents that do not fit the model or are not finite,
            conditionings that are not supported, and a model that gives values that are not finite.
    """
    if sampler_name not in SAMPLERS:
        raise ValueError(f"sampler {shown(sampler_name)} is not supported headless; use {listed(SAMPLERS)}")
    start = start_samples(latent, model)
    table, levels = level_table(model), model_levels(model, scheduler, steps, denoise)
    levels = _part(levels, first, last, leftover_noise)
    if len(levels) < 2:
        return dict(latent)
    x = _begun(model, start, prepare_noise(latent, seed) if add_noise else torch.zeros_like(start), levels, table)
    guided = prepare_run(model, positive, negative, x, cfg, table)
    samples = _walked(model, guided, x, levels, sampler_name, seed, progress)
    for capture in model.captures:
        capture.finish(samples)
    for composed, run in zip(model.compositions, guided.composing, strict=True):
        composed.finished(run, samples)
    for guard in guided.guards:
        guard.finished(samples)
    return {**latent, "samples": samples}


def _begun(model: ModelHandle, start: Tensor, noise: Tensor, levels: Tensor, table: Tensor) -> Tensor:
    """What the first step reads: the latent (B, C, h, w) in the model's scale with the noise of the first level."""
    clean = start * model.scaling_factor
    if model.flow_sigmas is None:
        return start_latent(clean, noise, levels[0], table[-1])
    return (1 - levels[0]) * clean + levels[0] * noise


def _walked(
    model: ModelHandle,
    guided: Guided,
    x: Tensor,
    levels: Tensor,
    sampler_name: str,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> Tensor:
    """Samples (B, C, h, w) in a LATENT's scale after all levels. Raises ``ValueError`` where they are not finite."""
    flow = model.flow_sigmas is not None
    generator = torch.Generator().manual_seed((seed + 1) % SEEDS)  # not the start's own noise again

    def report(step: int) -> None:
        if progress is not None:
            progress(step, len(levels) - 1)

    with torch.no_grad():
        result = (FLOW_SAMPLERS if flow else SAMPLERS)[sampler_name](guided, x, levels, generator, report)
    if not bool(torch.isfinite(result).all()):
        raise ValueError("the model gave values that are not finite numbers; check its weights, or run it in float32")
    return (result / (1 - levels[-1]) if flow else result) / model.scaling_factor


def _part(levels: Tensor, first: int, last: int | None, leftover_noise: bool) -> Tensor:
    """The levels of some of the steps, as KSampler (Advanced) takes them."""
    if last is not None and last < len(levels) - 1:
        end = levels[last : last + 1]
        levels = torch.cat([levels[:last], end if leftover_noise else torch.zeros_like(end)])
    return levels[first:]
