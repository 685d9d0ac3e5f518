"""Stock area conditioning in the boxes of a case, as a baseline; see :mod:`...core.compose.parts.areas`."""

from collections.abc import Sequence

from torch import Tensor

from ...core.backbone import Backbone, Conditioning
from ...core.compose.composer import share_of
from ...core.compose.parts.areas import Area, noise_in_areas
from ...core.sampling import Predict
from .cases import CELLS, Box


def predict_in_areas(
    backbone: Backbone,
    prompt: Conditioning,
    texts: Sequence[Conditioning],
    boxes: Sequence[Box],
    negative: Conditioning,
) -> Predict:
    """What guidance combines at a latent (B, C, h, w): the predictions of the negative text, and those of the prompt
    and areas, each in a box of :data:`.cases.CELLS` a side."""
    areas = [Area(prompt), *(Area(text, _shares(box)) for text, box in zip(texts, boxes, strict=True))]
    share = share_of(backbone.schedule.steps)

    def predict(latent: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        return noise_in_areas(backbone, latent, time, areas, negative, share(float(time[0])))

    return predict


def _shares(box: Box) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a box (top, left, bottom, right) as shares of the sides."""
    top, left, bottom, right = (side / CELLS for side in box)
    return left, top, right, bottom
