"""Stock area conditioning, as a baseline: each text is drawn in a pass over its own part of the latent.

What *Conditioning (Set Area)* and *Conditioning (Combine)* make of a sampling run: the model predicts each area by its
own text from the cells of that area alone; predictions are averaged with weights that fall off towards edges inside the
picture, over at most eight cells or a quarter of a side. The prompt of the whole picture counts everywhere.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...core.backbone import Backbone, Conditioning
from ...core.sampling import Predict, with_rows
from .cases import CELLS, Box

RIM = 8
"""Most cells over which the weight of an area falls off."""


def predict_in_areas(
    backbone: Backbone,
    prompt: Conditioning,
    texts: Sequence[Conditioning],
    boxes: Sequence[Box],
    negative: Conditioning,
) -> Predict:
    """What guidance combines at a latent (B, C, h, w): the negative prediction, and that of the prompt and areas."""

    def predict(latent: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        size = (latent.shape[-2], latent.shape[-1])

        def noise(part: Tensor, text: Conditioning) -> Tensor:
            return backbone.predict_noise(part, time, with_rows(text, len(part)))

        total, weight = noise(latent, prompt), torch.ones(size, device=latent.device)
        for text, box in zip(texts, boxes, strict=True):
            top, left, bottom, right = on_grid(box, size)
            own = area_weight((top, left, bottom, right), size).to(latent)  # (h', w')
            total[..., top:bottom, left:right] += own * noise(latent[..., top:bottom, left:right], text)
            weight[top:bottom, left:right] += own
        return noise(latent, negative), total / weight

    return predict


def on_grid(box: Box, size: tuple[int, int]) -> Box:
    """A box of :data:`CELLS` a side on a grid (h, w)."""
    top, left, bottom, right = box
    down, across = (side / CELLS for side in size)
    return round(top * down), round(left * across), round(bottom * down), round(right * across)


def area_weight(box: Box, size: tuple[int, int]) -> Tensor:
    """(h', w') weights of an area's cells, which fall off towards edges that are not the picture's."""
    top, left, bottom, right = box
    sides = [_ramp(bottom - top, top > 0, bottom < size[0]), _ramp(right - left, left > 0, right < size[1])]
    return sides[0][:, None] * sides[1][None]


def _ramp(length: int, at_start: bool, at_end: bool) -> Tensor:
    weight, rim = torch.ones(length), min(RIM, length // 4)
    rising = (torch.arange(rim) + 1) / max(rim, 1)
    if at_start:
        weight[:rim] *= rising
    if at_end:
        weight[length - rim :] *= rising.flip(0)
    return weight
