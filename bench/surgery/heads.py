"""Head offsets compared with a LoRA of as many parameters, and with the fine-tune's own LoRA."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ...core.backbone import AttentionWeight
from ...core.surgery.heads.denoising_loss import Captioned
from ...core.surgery.heads.offset_settings import PRESETS
from ...core.surgery.heads.offsets import as_skill
from ...core.surgery.heads.training import train_offsets
from ...core.types import Erasure, LowRank
from ...host.adapters import backbone_of, weights_of, with_erasure, with_skill
from ..erase.parts import Parts
from ..harness import Request, Row
from ..summary import Table
from .judging import kept, score
from .tunes import BATCH, train, tuned, tunes

HOW = replace(PRESETS["small"], heads=16, choosing=40, steps=120, batch=BATCH)
WAYS = {
    "base": "the model",
    "offsets": "head offsets",
    "small": "LoRA of as many parameters",
    "whole": "LoRA of rank 16",
}


def measure(parts: Parts, request: Request, index: int) -> Row:
    """One fine-tune, learnt three ways on the same pictures."""
    tune = tunes(request.split)[index % 4]
    backbone, scenes = parts.backbone, tune.scenes()
    with torch.no_grad():
        latents = torch.cat([backbone.encode_image(picture) for picture, _ in scenes])
    shown = Captioned(latents, [text for _, text in scenes])
    offsets = train_offsets(backbone, tune.name, shown, HOW, request.seed)
    numbers = offsets.numbers(HOW.heads)
    names = fitting(backbone.attention_weights(), numbers)
    steps = HOW.choosing + HOW.steps
    small = train(backbone, scenes, 1, "cross_value", steps, HOW.rate, names.__contains__)
    whole = tuned(backbone, tune)
    models = {
        "base": parts.model,
        "offsets": with_skill(parts.model, None, as_skill(offsets, HOW.heads, 1.0, weights_of(parts.model)))[0],
        "small": with_erasure(parts.model, Erasure(small, 1.0, backbone.family)),
        "whole": with_erasure(parts.model, Erasure(whole, 1.0, backbone.family)),
    }
    counts = {"base": 0, "offsets": numbers, "small": _numbers(small), "whole": _numbers(whole)}
    row: Row = {"skill": tune.name, "object": tune.kind.name, "numbers": counts}
    for way, model in models.items():
        changed = backbone_of(model, parts.clip, parts.vae)
        row[way] = {
            "skill": score(changed, parts.judge, tune, request.seed),
            "others": kept(changed, parts.judge, request.seed, [tune.kind]),
        }
    return row


def fitting(weights: Sequence[AttentionWeight], numbers: int) -> list[str]:
    """Value projections of cross-attention whose changes of rank 1 have about as many parameters as offsets have:
    from the middle of the model outwards, at least one."""
    values = [weight for weight in weights if weight.kind == "cross" and weight.role == "value"]
    middle = len(values) / 2
    chosen: list[str] = []
    for weight in sorted(values, key=lambda one: abs(values.index(one) + 0.5 - middle)):
        numbers -= sum(weight.shape)
        if chosen and numbers < -sum(weight.shape) / 2:
            break
        chosen.append(weight.name)
    return chosen


def _numbers(factors: Mapping[str, LowRank]) -> int:
    return sum(one.up.numel() + one.down.numel() for one in factors.values())


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Every skill by every way."""
    return {row["skill"]: {way: row[way] | {"numbers": row["numbers"][way]} for way in WAYS} for row in rows}


def tables(summary: Mapping[str, Any]) -> list[Table]:
    """The figures as tables, each a list of rows."""
    rows = [["skill", "learnt by", "parameters", "shown", "other objects"]]
    for name, of in summary.items():
        for way, said in WAYS.items():
            one = of[way]
            rows.append([name, said, str(one["numbers"]), f"{one['skill']:.2f}", f"{one['others']:.2f}"])
    return [rows]
