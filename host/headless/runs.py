"""What a sampling run needs of its MODEL and CONDITIONING before the first step."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...core.backbone import Conditioning
from ...core.compose.composer import Run as ComposingRun
from ...core.compose.composer import leave
from ...core.compose.guiders import ClassifierFree
from ...core.compose.parts.areas import negative_areas
from ...core.erase.guards.guard import GuardRun
from ...core.messages import listed
from ...core.sampling import with_rows
from ..shared.area_conditioning import areas_of
from ..shared.conditioning import from_comfy
from ..shared.handles import ModelHandle
from ..shared.timed_conditioning import Timed, timed_of
from .backbone import DiffusersBackbone
from .guided import Guided, Hook
from .moves import Moves
from .passes import sizes_of
from .spans import Held, area_levels, levels_of


def prepare_run(
    model: ModelHandle,
    positive: Sequence[Sequence[Any]],
    negative: Sequence[Sequence[Any]],
    x: Tensor,
    cfg: float,
    table: Tensor,
) -> Guided:
    """The guided model for latents like ``x`` (B, C, h, w), with the captures that record and the guards that
    correct."""
    backbone, rows, size = DiffusersBackbone(model), len(x), (x.shape[-2], x.shape[-1])
    areas = [
        replace(one, text=_of_area(_fitting(one.text, model, "positive"), model, size, rows))
        for one in areas_of(positive, "positive")
    ]
    timed = [] if areas else timed_of(positive, "positive")
    timed = [replace(one, conditioning=_fitting(one.conditioning, model, "positive")) for one in timed]
    given, ranged = areas[0].text if areas else timed[0].conditioning, len(timed) > 1
    if areas or ranged:
        _check_unread(model, "the picture" if areas else "denoising")
    guider = ClassifierFree(cfg)
    other = _fitting(from_comfy(negative, "negative"), model, "negative") if guider.needs_negative else None
    other = None if other is None else with_rows(other, rows, "negative")
    runs, guards = _begun(backbone, given), _guards(model)
    moves = Moves(tuple(run.before for run in runs if run.before is not None))
    hooks = _hooks(backbone, given, runs, moves, guards)
    spans = _spans(timed, rows, model, table) if ranged else ()
    guided = Guided(backbone, with_rows(given, rows, "positive"), other, guider, table, moves, hooks, guards, spans)
    against = (
        ()
        if not areas or other is None
        else negative_areas(areas, _of_area(other, model, size, rows, "negative"), size)
    )
    held = [area_levels(side, table, model.prediction_type == "flow") for side in (areas, against)]
    return replace(guided, areas=held[0], against=held[1], composing=tuple(runs))


def _check_unread(model: ModelHandle, whole: str) -> None:
    """Raise ``ValueError`` where a MODEL reads attention and its texts hold in parts of something."""
    if model.captures or model.compositions:
        nodes = listed([*(["Capture Attention"] if model.captures else []), *(one.node for one in model.compositions)])
        raise ValueError(
            f"positive has entries that hold in parts of {whole}, and attention is recorded or composed for one text; "
            f"sample the MODEL without {nodes}"
        )


def _of_area(
    text: Conditioning, model: ModelHandle, size: tuple[int, int], rows: int, name: str = "positive"
) -> Conditioning:
    """The text of an area for each picture. Stable Diffusion XL reads the sizes of the whole picture there, too."""
    if model.family == "sdxl" and "time_ids" not in text.extras:
        text = Conditioning(
            text.context, {**text.extras, "time_ids": sizes_of(model, size).expand(len(text.context), -1)}
        )
    return with_rows(text, rows, name)


def _spans(timed: Sequence[Timed], rows: int, model: ModelHandle, table: Tensor) -> tuple[Held, ...]:
    wide = [replace(one, conditioning=with_rows(one.conditioning, rows, "positive")) for one in timed]
    return levels_of(wide, table, model.prediction_type == "flow")


def _begun(backbone: DiffusersBackbone, positive: Conditioning) -> list[ComposingRun]:
    """The runs of the model's compositions. Raises ``ValueError`` for another conditioning than theirs."""
    for composed in backbone.model.compositions:
        composed.check_sampled(composed.reads(positive.context))
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
    for run, composed in zip(runs, backbone.model.compositions, strict=True):
        if run.layers is not None:
            hooks.append(partial(backbone.edit_layers, run.layers, composed.composition.layers))
    hooks.extend(partial(backbone.edit_attention, guard.edit) for guard in guards if guard.edits)
    return tuple(hooks)
