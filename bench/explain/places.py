"""Where ingredients are, against exact masks."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...core.explain.bank import ConceptCodes
from ...core.explain.locate import concept_masks
from ..metrics import iou_matrix

JOINED, GAIN = 3, 0.005
"""Ingredients that are joined to one mask at most, and by how much each must raise the IoU."""
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
GRID = (32, 32)
"""Cells at which places are compared: masks of 128 pixels a side are averaged over four by four."""


def places(codes: ConceptCodes, pictures: Tensor | None = None) -> Tensor:
    """(P, K, 32, 32) soft masks, along the edges of pictures (P, 3, H, W) where they are given."""
    guide = None if pictures is None else interpolate(pictures, GRID, mode="area")
    return concept_masks(codes, range(len(codes.bank)), GRID, guide=guide).transpose(0, 1)


def joined(places: Tensor, masks: Tensor) -> tuple[list[int], int]:
    """The ingredients whose masks (P, K, h, w) together fit masks (P, h, w) best, one after another, and the number of
    the threshold."""
    chosen: list[int] = []
    best, level, together = 0.0, 0, torch.zeros_like(places[:, :1])
    while len(chosen) < JOINED:
        tried = iou(torch.maximum(places, together), masks)  # (K, thresholds)
        if float(tried.max()) <= best + GAIN:
            break
        index, level = divmod(int(tried.argmax()), len(THRESHOLDS))
        best, together = float(tried.max()), torch.maximum(places[:, index : index + 1], together)
        chosen.append(index)
    return chosen or [0], level


def coarse(masks: Tensor) -> Tensor:
    """(P, 32, 32) bool of masks (P, H, W): cells that are covered by half."""
    return interpolate(masks[:, None].float(), GRID, mode="area")[:, 0] >= 0.5


def iou(places: Tensor, masks: Tensor) -> Tensor:
    """(K, thresholds) the mean over pictures of the IoU of soft masks (P, K, h, w) and masks (P, h, w)."""
    means = []
    for threshold in THRESHOLDS:
        each = [iou_matrix(place > threshold, mask[None])[:, 0] for place, mask in zip(places, masks, strict=True)]
        means.append(torch.stack(each).mean(0))
    return torch.stack(means, 1)
