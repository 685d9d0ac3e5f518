"""What ``web/js/edit_concepts.js`` needs to show concepts as regions that can be clicked.

One entry for a node's ``ui``: two small PNG files, the picture and a map of labels, and a few words per concept.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...core.types import Concepts
from .concept_pictures import concept_masks
from .drawing import colour_of, middle

KEY = "atelier_regions"
GREATEST_SIDE = 1024

SaveFile = Callable[[Tensor], Mapping[str, str]]
"""Writes an IMAGE (1, H, W, 3) to a temporary file: ``filename``, ``subfolder``, ``type``."""


def region_view(picture: Tensor, concepts: Concepts, save: SaveFile) -> dict[str, Any]:
    """The entry for concepts and their picture (1, 3, H, W), both made smaller if they are large.

    In the map of labels red + 256 green is the number of a pixel's concept, counted from 1, and 0 is none.
    """
    masks = concept_masks(concepts, picture)
    size = _shown_size(concepts.picture_size)
    labels = _labels(interpolate(masks[:, None], size, mode="nearest-exact")[:, 0])
    shown = interpolate(picture, size, mode="area").movedim(1, -1)
    return {
        "size": [size[1], size[0]],
        "picture": dict(save(shown)),
        "labels": dict(save(_as_image(labels))),
        "concepts": [_words(concepts, masks, index) for index in range(len(concepts))],
    }


def _labels(masks: Tensor) -> Tensor:
    """(H, W) long: the number from 1 of the mask that a pixel is in, 0 for none."""
    numbers = torch.arange(1, len(masks) + 1)[:, None, None]
    return (masks.long().cpu() * numbers).amax(0)


def _as_image(labels: Tensor) -> Tensor:
    """IMAGE (1, H, W, 3). Half a step is added, since values are cut to eight bits, not rounded."""
    low, high = labels % 256, labels // 256
    return ((torch.stack([low, high, torch.zeros_like(low)], -1) + 0.5) / 255).clamp(0, 1)[None]


def _words(concepts: Concepts, masks: Tensor, index: int) -> dict[str, Any]:
    height, width = concepts.picture_size
    x, y = middle(masks[index]) or (width // 2, height // 2)
    red, green, blue = colour_of(index)
    return {
        "name": concepts.names[index],
        "score": round(float(concepts.scores[index]), 3),
        "area": round(float(concepts.masks[index].float().mean()), 4),
        "middle": [round((x + 0.5) / width, 4), round((y + 0.5) / height, 4)],
        "colour": [red, green, blue],
    }


def _shown_size(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, GREATEST_SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
