"""How well a concept's maps agree with masks of something known: does it exist where it is said to, and lie there?

Metrics of concept explanations (CGIM, CEM and CLM), whose exact normalisation could not be read; the forms are ours. A
map may point into the mask, keep its mass inside, and overlap it; and a concept should be strong in the pictures that
show the thing, not in others.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .probe import auroc

CUTS = 20
"""Thresholds that are tried for the best overlap."""


@dataclass(frozen=True)
class MapGrade:
    """How one concept agrees with one known thing, means over the pictures that show it.

    Attributes:
        pointing: share of them in which the map's strongest place lies in the mask.
        inside: share of the map's mass that lies in the mask.
        area: share of the picture that the mask covers, which a map without knowledge keeps inside.
        iou: overlap at the threshold that is best for all of them together.
        existence: AUROC of the map's strongest value between pictures with the thing and without; None where all or
            none show it.
    """

    pointing: float
    inside: float
    area: float
    iou: float
    existence: float | None


def grade_map(maps: Tensor, masks: Tensor) -> MapGrade:
    """Grade maps (P, H, W) in 0..1 of a concept by masks (P, H, W) bool of a thing; empty where it is not there.

    Raises ``ValueError`` for other sizes, and where no picture shows the thing.
    """
    if maps.shape != masks.shape:
        raise ValueError(f"maps and masks must be alike, got {tuple(maps.shape)} and {tuple(masks.shape)}")
    there = masks.flatten(1).any(1)  # (P,)
    if not bool(there.any()):
        raise ValueError("no mask covers anything; give the place of the thing in one picture at least")
    own, known = maps[there].flatten(1), masks[there].flatten(1)  # (S, H * W) each
    pointing = known.gather(1, own.argmax(1, keepdim=True)).float().mean()
    inside = ((own * known).sum(1) / own.sum(1).clamp(min=1e-12)).mean()
    overlaps = [_iou(own > cut, known) for cut in torch.linspace(0, 1, CUTS + 1)[:-1] * own.max()]
    exists = None if bool(there.all()) else float(auroc(maps.flatten(1).amax(1), there))
    return MapGrade(float(pointing), float(inside), float(known.float().mean()), max(overlaps), exists)


def _iou(found: Tensor, known: Tensor) -> float:
    return float(((found & known).sum(1) / (found | known).sum(1)).mean())
