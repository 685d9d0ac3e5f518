"""What the finest layers add to heat maps of pictures that are larger than the model's own, and what they cost.

Scenes with exact masks are encoded and noised to four levels; the model reads them with their captions, and its maps of
the objects' names are compared with the masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from ...core.attention.maps import AttentionMaps
from ...core.attention.record import AttentionRecorder
from ...core.attention.selection import Selection
from ...core.attention.words import occurrences
from ...core.attribute.heatmap import normalise, word_heatmaps
from ...core.backbone import Backbone
from ...host.adapters import backbone_of
from ..cases import Case, make_case
from .ground import Ground, Shape
from .growth import LAYERS, SIDES, quickest, word_maps
from .meters import megabytes
from .settings import CostSettings

SCENES = 24
LEVELS = (0.1, 0.3, 0.5, 0.7)
"""Of noise, as shares of all timesteps."""
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
LEAST_GRID = 8
"""The node's default: coarser maps are left out."""


def heat_maps_cost(ground: Ground, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """By the picture's side, with all layers and without those on the latent's own grid: mean IoU of heat maps with the
    masks, at the threshold that is best for all scenes (the lab alone, whose scenes have masks); seconds of processor
    time for a step's maps in the layers of Stable Diffusion 1.5; memory of the finest maps."""
    backbone = backbone_of(ground.model, ground.clip, ground.vae)
    coarse = {scale: layers for scale, layers in LAYERS.items() if scale > 1}
    sides: dict[str, dict[str, Any]] = {}
    for factor in SIDES:
        side = round(shape.side / 8 * factor) * 8
        sides[str(side)] = {
            "cpu_s": float(f"{quickest(word_maps(side // 8), settings):.3g}"),
            "without_finest_cpu_s": float(f"{quickest(word_maps(side // 8, coarse), settings):.3g}"),
            "finest_mb": megabytes(77 * (side // 8) ** 2 * 4),
        }
        if shape.name == "lab":
            whole, without = ious(backbone, side)
            sides[str(side)] |= {"iou": round(whole, 3), "without_finest_iou": round(without, 3)}
    return {"sides": sides, "scenes": SCENES, "repetitions": settings.repetitions}


def ious(backbone: Backbone, side: int) -> tuple[float, float]:
    """Mean IoU over all objects of all scenes, with the finest layers and without."""
    rows: tuple[list[list[float]], list[list[float]]] = ([], [])
    for index in range(SCENES):
        case = make_case("test", index, 7, (side, side), False, complete=1.0)
        maps = observed(backbone, case, index)
        grids = [grid for grid in maps.cross if min(grid) >= LEAST_GRID]
        for found, chosen in zip(rows, (grids, grids[1:] or grids), strict=True):
            found += scores(backbone, maps, case, chosen)
    whole, without = (max(fmean(column) for column in zip(*found, strict=True)) for found in rows)
    return whole, without


def observed(backbone: Backbone, case: Case, seed: int) -> AttentionMaps:
    """The model's attention to the scene's caption, over four levels of noise."""
    latent, conditioning = backbone.encode_image(case.picture), backbone.encode_text([case.caption])
    generator = torch.Generator().manual_seed(seed)
    recorder = AttentionRecorder(Selection(kinds=("cross",), stages=("down", "up")))
    with recorder.recording(backbone):
        for level in LEVELS:
            time = torch.tensor([int(level * backbone.schedule.steps)])
            noise = torch.randn(latent.shape, generator=generator).to(latent)
            backbone.predict_noise(backbone.schedule.add_noise(latent, noise, time), time, conditioning)
    return recorder.maps()


def scores(backbone: Backbone, maps: AttentionMaps, case: Case, grids: Sequence[tuple[int, int]]) -> list[list[float]]:
    """For each object that is named once, the IoU of its word's heat map at every threshold."""
    text, weights = backbone.tokenize(case.caption), {grid: float(maps.cross_counts[grid]) for grid in grids}
    size = (case.masks.shape[1], case.masks.shape[2])
    found = []
    for name, mask in zip(case.names, case.masks, strict=True):
        if len(occurrences(text, name)) == 1:
            heat = normalise(word_heatmaps(maps, text, [name], size, per_cell=True, weights=weights)[0, 0])
            found.append([_iou(heat >= threshold, mask) for threshold in THRESHOLDS])
    return found


def _iou(found: Tensor, truth: Tensor) -> float:
    return float((found & truth).sum() / (found | truth).sum())
