"""``bench localize --sweep``: which layers take a picture apart best, and at which share of noise.

Every layer that reads the picture is clustered by itself, and all of them together, at several shares of noise; the
scenes, the settings and the score are those of ``bench localize``.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...core.backbone import Backbone
from ...core.masks.guided import pixel_masks
from ..command import backbone_for
from ..harness import Bench, Request, Row
from ..metrics import score_masks
from ..summary import best_setting, sweep_figures, sweep_table
from ..words.words import NOISES
from .cases import case_of_options, localized, localizer_of, settings_of


def measure(backbone: Backbone, request: Request, index: int) -> Row:
    """One scene: the mean IoU at pixel resolution by setting, ``<layer> at <noise>``."""
    case, localizer = case_of_options(request, index), localizer_of(request.options)
    settings = settings_of(request.options, len(case.masks), backbone)
    sites = [site.name for site in backbone.attention_sites() if site.reads("self")]
    layers = {"all": tuple(sites), **{name: (name,) for name in sites}}
    scores = {}
    for noise in NOISES:
        for name, chosen in layers.items():
            found = localized(backbone, case, localizer, replace(settings, layers=chosen, noise=noise))
            scores[f"{name} at {noise:g}"] = score_masks(pixel_masks(found, case.picture).cpu(), case.masks).miou
    return {"seed": case.seed, "names": list(case.names), "objects": len(case.masks), "scores": scores}


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal: layers by shares of noise."""
    read = f"{result['cases']} {result['split']} scenes, seed {result['seed']}"
    means = {setting: found["mean"] for setting, found in result["summary"].items()}
    return f"bench localize --sweep: {read}; mean IoU at pixel resolution\n{sweep_table(means)}\n"


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The best setting."""
    best = best_setting(summary)
    return {"best": best, "miou_pixel": summary[best]["mean"]}


BENCH = Bench("localize_sweep", 1, backbone_for, measure, sweep_figures, table, headline)
