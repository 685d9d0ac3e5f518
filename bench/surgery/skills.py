"""Skills: the share of parameters that carries each, and two of them in one model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import torch

from ...core.surgery.calibration import PRESETS, CalibrationSettings
from ...core.surgery.methods.dataless import DatalessSettings
from ...core.surgery.overlap import compare
from ...core.surgery.registry import METHODS, RULES
from ...core.surgery.skill import Skill
from ...core.surgery.stitcher import stitch
from ...core.types import Erasure
from ...host.adapters import backbone_of, weights_of, with_erasure, with_skill
from ...host.jobs.surgery.calibrating import calibrated_skill
from ..erase.parts import Parts
from ..harness import Request, Row
from ..ranks import spearman
from ..summary import Table, interval, with_interval
from .judging import kept, score
from .tunes import Tune, tuned, tunes

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)
STITCHED = 0.05
ENOUGH = 0.95
CALIBRATED = 16
"""Pictures that choose parameters."""
GOALS: Mapping[str, CalibrationSettings] = {
    "chosen": PRESETS["small"],
    "predicted": replace(PRESETS["small"], goal="fine-tune", penalty=0.1),
}
"""By what parameters are chosen: how well pictures are denoised, or what the fine-tune predicts for them."""
FEW = 6
"""Pictures of each figure of a pair."""
SKILLS = 4
WAYS: Mapping[str, str] = {
    "stitch": "stitched, 5 % of each",
    "stitch_wide": "stitched, 20 % of each",
    "average": "average",
    "task": "task arithmetic, 0.7 of each",
    "add": "LoRA addition",
}
PREDICTED = {"inside": "shared parameters", "conflict": "conflict", "same_inputs": "same inputs"}
"""What Skill Overlap says of two skills, as its report calls it."""


def measure(parts: Parts, request: Request, index: int) -> Row:
    """The first cases are the skills alone, those after are pairs of them."""
    known = tunes(request.split)
    if index < SKILLS:
        return _alone(parts, request, known[index])
    pairs = list(combinations(known, 2))
    return _pair(parts, request, *pairs[(index - SKILLS) % len(pairs)])


def skill_of(parts: Parts, request: Request, tune: Tune, share: float) -> Skill:
    """The parameters of a fine-tune that changed most."""
    factors = tuned(parts.backbone, tune)
    model = with_erasure(parts.model, Erasure(factors, 1.0, parts.backbone.family))
    how = DatalessSettings(share)
    return METHODS["dataless"].localise(weights_of(parts.model), weights_of(model), parts.backbone.family, how)


def _alone(parts: Parts, request: Request, tune: Tune) -> Row:
    """What shares of a fine-tune bring back."""

    def measured(skill: Skill) -> float:
        model = backbone_of(with_skill(parts.model, None, skill)[0], parts.clip, parts.vae)
        return score(model, parts.judge, tune, request.seed)

    whole = measured(skill_of(parts, request, tune, 1.0))
    base = score(parts.backbone, parts.judge, tune, request.seed)
    shares = {f"{share:g}": measured(skill_of(parts, request, tune, share)) for share in SHARES}
    return {
        "what": "skill",
        "skill": tune.name,
        "object": tune.kind.name,
        "base": base,
        "whole": whole,
        "shares": shares,
    }


def carries(row: Mapping[str, Any]) -> float | None:
    """The smallest share that brings back :data:`ENOUGH` of a skill together with all greater ones; None for none."""
    gain = row["whole"] - row["base"]
    enough = [float(share) for share, value in row["shares"].items() if value - row["base"] >= ENOUGH * gain]
    missed = [float(share) for share, value in row["shares"].items() if value - row["base"] < ENOUGH * gain]
    return min((share for share in enough if share > max(missed, default=0.0)), default=None)


def measure_calibrated(parts: Parts, request: Request, index: int) -> Row:
    """What the parameters that pictures of a skill choose bring back, compared with as many that changed most."""
    tune = tunes(request.split)[index % SKILLS]
    scenes = [scene for scene in tune.scenes() if tune.style is not None or tune.kind.name in scene[1]][:CALIBRATED]
    factors = tuned(parts.backbone, tune)
    model = with_erasure(parts.model, Erasure(factors, 1.0, parts.backbone.family))
    pictures, prompts = torch.cat([picture for picture, _ in scenes]), [text for _, text in scenes]
    own = parts.model, parts.clip, parts.vae
    found = {
        name: calibrated_skill(
            own, (model, None), pictures, prompts, STITCHED, settings, request.seed, lambda made, total: None
        ).skill
        for name, settings in GOALS.items()
    }
    shares = {name: skill.share for name, skill in found.items()}
    found["first"] = skill_of(parts, request, tune, shares["chosen"])
    row: Row = {"skill": tune.name, "object": tune.kind.name, "shares": shares, "base": 0.0, "whole": 0.0}
    models = {"base": parts.model, "whole": model} | {
        name: with_skill(parts.model, None, skill)[0] for name, skill in found.items()
    }
    for name, changed in models.items():
        row[name] = score(backbone_of(changed, parts.clip, parts.vae), parts.judge, tune, request.seed)
    return row


def calibrated_figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Every skill: the shares that were chosen, and what they show compared with as many parameters
    that changed most."""
    return {row["skill"]: {name: row[name] for name in ("shares", "base", "whole", "first", *GOALS)} for row in rows}


def calibrated_tables(summary: Mapping[str, Any]) -> list[Table]:
    """The figures as tables, each a list of rows."""
    rows = [["skill", "base", "whole", "share", "that changed most", "by pictures", "share", "by the fine-tune"]]
    for name, one in summary.items():
        pictures, predicted = (f"{one['shares'][goal]:.2%}" for goal in GOALS)
        values = [f"{one[key]:.2f}" for key in ("base", "whole", "first", *GOALS)]
        rows.append([name, *values[:2], pictures, *values[2:4], predicted, values[4]])
    return [rows]


def _pair(parts: Parts, request: Request, one: Tune, other: Tune) -> Row:
    """Two skills in one model, by every way."""
    pair = one, other

    def measured(skill: Skill) -> dict[str, float]:
        model = backbone_of(with_skill(parts.model, None, skill)[0], parts.clip, parts.vae)
        found = {tune.name: score(model, parts.judge, tune, request.seed, FEW) for tune in pair}
        return found | {"others": kept(model, parts.judge, request.seed, [tune.kind for tune in pair], FEW)}

    whole = [skill_of(parts, request, tune, 1.0) for tune in pair]
    few = [skill_of(parts, request, tune, STITCHED) for tune in pair]
    wide = [skill_of(parts, request, tune, 4 * STITCHED) for tune in pair]
    ways = {
        "stitch": stitch(few, (1, 1), RULES["average"]),
        "stitch_wide": stitch(wide, (1, 1), RULES["average"]),
        "average": stitch(whole, (0.5, 0.5), RULES["sum"]),
        "task": stitch(whole, (0.7, 0.7), RULES["sum"]),
        "add": stitch(whole, (1, 1), RULES["sum"]),
    }
    models = [backbone_of(with_skill(parts.model, None, skill)[0], parts.clip, parts.vae) for skill in whole]
    alone = {
        tune.name: score(model, parts.judge, tune, request.seed, FEW) for tune, model in zip(pair, models, strict=True)
    }
    sparse, dense = compare([tune.name for tune in pair], few)[0], compare([tune.name for tune in pair], whole)[0]
    predicted = {"inside": sparse.inside, "conflict": sparse.conflict, "same_inputs": dense.same_inputs}
    found = {way: measured(skill) for way, skill in ways.items()}
    return {"what": "pair", "pair": [tune.name for tune in pair], "alone": alone, **found, "predicted": predicted}


def lost(row: Mapping[str, Any], way: str) -> float:
    """How much of a skill is lost on average if a way puts two into one model."""
    return sum(alone - row[way][name] for name, alone in row["alone"].items()) / len(row["alone"])


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """What carries each skill, what every way loses, and how predictions rank what addition loses."""
    alone, pairs = ([row for row in rows if row["what"] == what] for what in ("skill", "pair"))
    found: dict[str, Any] = {
        "skills": {
            row["skill"]: {"base": row["base"], "whole": row["whole"], "carries": carries(row), "shares": row["shares"]}
            for row in alone
        }
    }
    if pairs:
        found["lost"] = {way: interval([lost(row, way) for row in pairs], request.seed) for way in WAYS}
        found["others"] = {way: interval([row[way]["others"] for row in pairs], request.seed) for way in WAYS}
        found["lost_of"] = lost_of(pairs)
        measured = [lost(row, "add") for row in pairs]
        found["ranks"] = {name: spearman([row["predicted"][name] for row in pairs], measured) for name in PREDICTED}
    return found


def lost_of(pairs: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Skill to what each way loses of it, on average over its pairs."""
    found: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(name for row in pairs for name in row["alone"]):
        own = [row for row in pairs if name in row["alone"]]
        found[name] = {
            way: round(sum(row["alone"][name] - row[way][name] for row in own) / len(own), 4) for way in WAYS
        }
    return found


def tables(summary: Mapping[str, Any]) -> list[Table]:
    """The figures as tables, each a list of rows."""
    rows = [["skill", "base", "whole", "carried by", *(f"{100 * share:g} %" for share in SHARES)]]
    for name, one in summary["skills"].items():
        carried = "-" if one["carries"] is None else f"{100 * one['carries']:g} %"
        values = [f"{value:.2f}" for value in one["shares"].values()]
        rows.append([name, f"{one['base']:.2f}", f"{one['whole']:.2f}", carried, *values])
    if "lost" not in summary:
        return [rows]
    ways = [[WAYS[way], with_interval(summary["lost"][way]), with_interval(summary["others"][way])] for way in WAYS]
    of_each = [[name, *(f"{of[way]:.2f}" for way in WAYS)] for name, of in summary["lost_of"].items()]
    ranks = [[PREDICTED[name], "-" if rank is None else f"{rank:.2f}"] for name, rank in summary["ranks"].items()]
    return [
        rows,
        [["two skills in one model", "lost of each", "other objects"], *ways],
        [["lost of", *WAYS.values()], *of_each],
        [["predicted from the parameters", "rank correlation with what addition loses"], *ranks],
    ]
