"""``bench explain --sweep``: at which layer, and at which share of noise, activations tell objects apart.

The score is that of the plain probe of ``bench explain``: it says how much is there to be found, whichever method looks
for it. All layers are read in one pass at each share of noise.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...core.backbone import Backbone
from ...core.explain.probe import auroc, enough, pooled, ridge
from ...core.explain.recording import BATCH, noised_latents, read_sites, reading_sites
from ...core.schedule import timestep_of_noise
from ..command import backbone_for
from ..harness import Bench, Request, Row
from ..summary import best_setting, sweep_figures, sweep_table
from .folders import PICTURES, Folder, make_folder

NOISES = (0.02, 0.1, 0.3, 0.5, 0.7)
"""Shares of noise."""


def measure(backbone: Backbone, request: Request, index: int) -> Row:
    """One folder: the mean AUROC of its objects by setting, ``<layer> at <noise>``."""
    folder = make_folder(request.split, index, request.seed, request.options.get("pictures", PICTURES))
    half = len(folder.pictures) // 2
    scores = {}
    for noise in NOISES:
        for layer, rows in recorded(backbone, folder.pictures, noise).items():
            found = probed(rows[:half], rows[half:], folder.part(slice(half)), folder.part(slice(half, None)))
            scores[f"{layer} at {noise:g}"] = round(found, 4)
    return {"scores": scores}


def recorded(backbone: Backbone, pictures: Tensor, noise: float) -> dict[str, Tensor]:
    """What a probe reads (P, 2 D) of pictures (P, 3, H, W) at every layer, by the layer's name."""
    timestep, conditioning = timestep_of_noise(backbone.schedule, noise), backbone.encode_text([""])
    parts: dict[str, list[Tensor]] = {}
    for number, part in enumerate(pictures.split(BATCH)):
        noised = noised_latents(backbone, backbone.encode_image(part), timestep, number * BATCH)
        read = read_sites(backbone, reading_sites(backbone), noised, timestep, conditioning)
        for name, (rows, _) in read.items():
            parts.setdefault(name, []).append(pooled(rows))
    return {name: torch.cat(rows) for name, rows in parts.items()}


def probed(learnt: Tensor, tested: Tensor, answers: Folder, truth: Folder) -> float:
    """The mean AUROC of probes of objects, fitted to rows (P, D) of one part of a folder and asked of another.

    Raises ``ValueError`` where no object is in some pictures of both parts and missing from others.
    """
    scores = []
    for factor in truth.factors:
        known, asked = answers.present(factor), truth.present(factor)
        if factor[0] == "object" and enough(known) and enough(asked):
            scores.append(float(auroc(tested @ ridge(learnt, known), asked)))
    if not scores:
        raise ValueError(f"{len(truth.pictures)} pictures are too few to tell objects apart; give --pictures more")
    return sum(scores) / len(scores)


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal: layers by shares of noise."""
    read = f"{result['cases']} {result['split']} folders, seed {result['seed']}"
    means = {setting: found["mean"] for setting, found in result["summary"].items()}
    return f"bench explain --sweep: {read}; AUROC of objects, plain probe\n{sweep_table(means)}\n"


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The best setting."""
    best = best_setting(summary)
    return {"best": best, "auroc": summary[best]["mean"]}


BENCH = Bench("explain_sweep", 1, backbone_for, measure, sweep_figures, table, headline)
