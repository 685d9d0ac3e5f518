"""Sampling without ComfyUI, step for step as its KSampler does it."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...core.backbone import Conditioning
from ...core.compose.composer import Run as ComposingRun
from ...core.compose.composer import leave
from ...core.compose.guiders import ClassifierFree, Guider
from ...core.erase.guards.guard import GuardRun
from ...core.messages import listed, shown
from ...core.sampling import with_rows
from ...core.schedule import timestep_of_sigma
from ..shared.compositions import NOT_SAMPLED
from ..shared.conditioning import from_comfy, join
from ..shared.handles import ModelHandle
from ..shared.progress import check_interrupt
from ..shared.timed_conditioning import Timed, timed_of
from .backbone import DiffusersBackbone
from .moves import Moves
from .noise_levels import level_table, model_levels
from .samplers import FLOW_SAMPLERS, SAMPLERS
from .spans import Held, held_at, levels_of

Latent = Mapping[str, Any]
"""ComfyUI's LATENT: ``samples`` (B, C, h, w), unscaled, and perhaps ``batch_index``."""

Hook = Callable[[], AbstractContextManager[None]]
"""Within its context, something listens to attention or edits it."""

_SEEDS = 2**64
MAX_INDEX = 65535
"""Of ``batch_index``: every draw up to the greatest is made."""


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
        positive: CONDITIONING with one entry, or with several that each hold in a part of denoising.
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
    start = _checked(latent, model)
    flow = model.flow_sigmas
    table, levels = level_table(model), model_levels(model, scheduler, steps, denoise)
    levels = _part(levels, first, last, leftover_noise)
    if len(levels) < 2:
        return dict(latent)
    clean = start * model.scaling_factor
    noise = prepare_noise(latent, seed) if add_noise else torch.zeros_like(clean)
    if flow is None:
        x = start_latent(clean, noise, levels[0], table[-1])
    else:
        x = (1 - levels[0]) * clean + levels[0] * noise
    generator = torch.Generator().manual_seed((seed + 1) % _SEEDS)  # not the start's own noise again

    def report(step: int) -> None:
        if progress is not None:
            progress(step, len(levels) - 1)

    guided = _prepare(model, positive, negative, len(x), cfg, table)
    with torch.no_grad():
        result = (SAMPLERS if flow is None else FLOW_SAMPLERS)[sampler_name](guided, x, levels, generator, report)
    if not bool(torch.isfinite(result).all()):
        raise ValueError("the model gave values that are not finite numbers; check its weights, or run it in float32")
    if flow is not None:
        result = result / (1 - levels[-1])
    samples = result / model.scaling_factor
    for capture in model.captures:
        capture.finish(samples)
    return {**latent, "samples": samples}


def _part(levels: Tensor, first: int, last: int | None, leftover_noise: bool) -> Tensor:
    """The levels of some of the steps, as KSampler (Advanced) takes them."""
    if last is not None and last < len(levels) - 1:
        end = levels[last : last + 1]
        levels = torch.cat([levels[:last], end if leftover_noise else torch.zeros_like(end)])
    return levels[first:]


@dataclass(frozen=True, eq=False)
class Guided:
    """The clean latent that the model sees under guidance."""

    backbone: DiffusersBackbone
    positive: Conditioning
    negative: Conditioning | None
    guider: Guider
    table: Tensor
    moves: Moves
    hooks: tuple[Hook, ...] = ()
    guards: tuple[GuardRun, ...] = ()
    spans: tuple[Held, ...] = ()

    @property
    def _flow(self) -> bool:
        return self.backbone.model.prediction_type == "flow"

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """``x`` (B, C, h, w) with noise of level ``sigma`` to its clean version."""
        check_interrupt()
        for guard in self.guards:
            changed = guard.perturbed(x, sigma)
            if changed is not x:
                x.copy_(changed)  # the sampler goes on from this tensor, which was made for this run
        with ExitStack() as listening:  # not around what guards ask the model
            for hook in self.hooks:
                listening.enter_context(hook())
            self._move(x, sigma)
            clean = self._guided(x, sigma)
            for capture in self.backbone.model.captures:
                if capture.beside is not None:
                    time = float(timestep_of_sigma(sigma, self.table))
                    capture.beside(self.backbone, time, lambda: self._clean(x, sigma, self.positive, [False] * len(x)))
        for guard in self.guards:
            slope = (x - clean) / sigma
            corrected = guard.corrected(slope, x, sigma, float(getattr(self.guider, "scale", 1.0)))
            clean = clean if corrected is slope else x - sigma * corrected
        return clean

    def _guided(self, x: Tensor, sigma: Tensor) -> Tensor:
        if self.spans:
            held = held_at(self.spans, sigma)
            return torch.stack([replace(self, positive=one, spans=())._guided(x, sigma) for one in held]).mean(0)
        if self.negative is None:
            return self._clean(x, sigma, self.positive, [True] * len(x))
        if self._flow and self.negative.context.shape[1] != self.positive.context.shape[1]:
            # Joint attention over copies of the text is another attention; ComfyUI makes two passes as well.
            texts = ((self.negative, False), (self.positive, True))
            return self.guider.combine(*(self._clean(x, sigma, text, [said] * len(x)) for text, said in texts))
        both = join(self.negative, self.positive)
        cleans = self._clean(torch.cat([x, x]), sigma, both, [False] * len(x) + [True] * len(x))
        return self.guider.combine(*cleans.chunk(2))

    def _move(self, x: Tensor, sigma: Tensor) -> None:
        """Let compositions move the latent. It changes in place: the sampler goes on from what it holds."""
        scale = 1.0 if self._flow else (sigma**2 + 1) ** 0.5
        timestep = timestep_of_sigma(sigma, self.table).round().long().expand(len(x))
        with self.moves.in_force():
            for step in self.moves.steps:
                latent = x / scale
                moved = step(self.backbone, latent, timestep)
                if moved is not latent:
                    x.copy_(moved * scale)

    def _clean(self, x: Tensor, sigma: Tensor, conditioning: Conditioning, conditional: list[bool]) -> Tensor:
        timestep = timestep_of_sigma(sigma, self.table).expand(len(x))
        length = self.positive.context.shape[1]
        if self._flow:
            return x - sigma * self.backbone.predict(x, timestep, conditioning, conditional, length, sigma)
        scale = (sigma**2 + 1) ** 0.5
        output = self.backbone.predict(x / scale, timestep, conditioning, conditional, length)
        return clean_latent(output, x, sigma, self.backbone.model.prediction_type)


def clean_latent(output: Tensor, x: Tensor, sigma: Tensor, prediction_type: str) -> Tensor:
    """The clean latent from a model's output at ``x = clean + sigma * noise``; all (B, C, h, w)."""
    if prediction_type == "epsilon":
        return x - output * sigma
    if prediction_type == "v_prediction":
        return x / (sigma**2 + 1) - output * sigma / (sigma**2 + 1) ** 0.5
    return output


def prepare_noise(latent: Latent, seed: int) -> Tensor:
    """The noise that ComfyUI starts from: one draw for the whole batch, or, with ``batch_index``, the draws of those
    indices. Raises ``ValueError`` for a seed out of range."""
    if not 0 <= seed < _SEEDS:
        raise ValueError(f"seeds are 0..2**64 - 1, got {seed}")
    samples = latent["samples"]
    generator = torch.Generator().manual_seed(seed)
    if latent.get("batch_index") is None:
        return torch.randn(samples.shape, generator=generator, dtype=torch.float32)
    indices = [int(index) for index in latent["batch_index"]]
    if len(indices) != len(samples) or min(indices) < 0 or max(indices) > MAX_INDEX:
        raise ValueError(
            f"batch_index is {shown(indices)}, expected a number of 0..{MAX_INDEX} for each of {len(samples)} latents"
        )
    draws = [torch.randn(samples.shape[1:], generator=generator) for _ in range(max(indices) + 1)]
    return torch.stack([draws[index] for index in indices])


def start_latent(clean: Tensor, noise: Tensor, sigma: Tensor, noisiest: Tensor) -> Tensor:
    """``clean + sigma * noise``; from the table's noisiest level the noise has the variance of a whole latent."""
    full = float(sigma) > float(noisiest) or math.isclose(float(sigma), float(noisiest), rel_tol=1e-5)
    return clean + noise * ((1 + sigma**2) ** 0.5 if full else sigma)


def _prepare(
    model: ModelHandle,
    positive: Sequence[Sequence[Any]],
    negative: Sequence[Sequence[Any]],
    rows: int,
    cfg: float,
    table: Tensor,
) -> Guided:
    """The guided model, with the captures that record and the guards that correct."""
    backbone = DiffusersBackbone(model)
    timed = [
        replace(one, conditioning=_fitting(one.conditioning, model, "positive"))
        for one in timed_of(positive, "positive")
    ]
    given, ranged = timed[0].conditioning, len(timed) > 1
    if ranged and (model.captures or model.compositions):
        raise ValueError(
            "positive has entries that hold in parts of denoising, and attention is recorded or composed for one text; "
            "sample the MODEL without Capture Attention and Compose Concepts"
        )
    guider = ClassifierFree(cfg)
    other = _fitting(from_comfy(negative, "negative"), model, "negative") if guider.needs_negative else None
    other = None if other is None else with_rows(other, rows, "negative")
    runs, guards = _begun(backbone, given), _guards(model)
    moves = Moves(tuple(run.before for run in runs if run.before is not None))
    hooks = _hooks(backbone, given, runs, moves, guards)
    spans = _spans(timed, rows, model, table) if ranged else ()
    return Guided(backbone, with_rows(given, rows, "positive"), other, guider, table, moves, hooks, guards, spans)


def _spans(timed: Sequence[Timed], rows: int, model: ModelHandle, table: Tensor) -> tuple[Held, ...]:
    wide = [replace(one, conditioning=with_rows(one.conditioning, rows, "positive")) for one in timed]
    return levels_of(wide, table, model.prediction_type == "flow")


def _begun(backbone: DiffusersBackbone, positive: Conditioning) -> list[ComposingRun]:
    """The runs of the model's compositions. Raises ``ValueError`` for another conditioning than theirs."""
    if not all(composed.reads(positive.context) for composed in backbone.model.compositions):
        raise ValueError(NOT_SAMPLED)
    return [composed.begin(backbone.schedule.steps) for composed in backbone.model.compositions]


def _guards(model: ModelHandle) -> tuple[GuardRun, ...]:
    """What keeps concepts out of this run; what it asks is not guarded itself, nor recorded."""
    plain = DiffusersBackbone(replace(model, guards=(), captures=(), compositions=()))
    return tuple(
        guard.begin(plain, plain if guard.original is None else DiffusersBackbone(guard.original))
        for guard in model.guards
    )


def _fitting(conditioning: Conditioning, model: ModelHandle, name: str) -> Conditioning:
    """The conditioning, when this model can read it. Raises ``ValueError`` for that of another model."""
    width, config = conditioning.context.shape[-1], model.unet.config
    reads = config.joint_attention_dim if model.prediction_type == "flow" else config.cross_attention_dim
    reads = reads if isinstance(reads, int) else reads[0]  # some files say it of every block
    if width != reads:
        raise ValueError(
            f"{name} is {width} wide and this {model.family} model reads {reads}: it was encoded for another model; "
            "encode the prompt with the CLIP of the same loader"
        )
    if not bool(torch.isfinite(conditioning.context).all()):
        raise ValueError(f"{name} holds NaN or infinite values; check the node that made it")
    return conditioning


def _hooks(
    backbone: DiffusersBackbone,
    positive: Conditioning,
    runs: Sequence[ComposingRun],
    moves: Moves,
    guards: Sequence[GuardRun],
) -> tuple[Hook, ...]:
    """What listens to attention and edits it, in every pass that is not a guard's."""
    by_name = {site.name: site for site in backbone.attention_sites()}
    hooks: list[Hook] = []
    for capture in backbone.model.captures:
        capture.begin(positive)
        sites = None if capture.sites is None else [by_name[name] for name in capture.sites]
        hooks.append(partial(backbone.tap_attention, moves.except_while_moving(capture.tap), sites))
    hooks.extend(partial(backbone.edit_attention, run.edit) for run in runs if run.edit is not leave)
    hooks.extend(partial(backbone.edit_attention, guard.edit) for guard in guards if guard.edits)
    return tuple(hooks)


def _checked(latent: Latent, model: ModelHandle) -> Tensor:
    """The samples as float32. Raises ``ValueError`` when the model cannot start from them."""
    samples, channels = latent["samples"], model.unet.config.in_channels
    if samples.ndim != 4 or samples.shape[1] != channels or 0 in samples.shape:
        raise ValueError(f"the latent is {tuple(samples.shape)}; this model needs (B, {channels}, h, w)")
    if latent.get("noise_mask") is not None:
        raise ValueError("the latent has a noise mask; the headless sampler does not inpaint")
    if not bool(torch.isfinite(samples).all()):
        raise ValueError("the latent has values that are not finite numbers; check what made it")
    return samples.detach().float()
