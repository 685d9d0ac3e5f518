"""Pictures that ``bench compose`` compares with: icons of the lab's world, each as large as its box allows."""

import random

import numpy as np
from PIL import Image
from torch import Tensor

from ...lab.world.atlas import load_atlas
from ...lab.world.backgrounds import paint, sample_background
from ...lab.world.scene import tint
from ...lab.world.settings import SIZES
from ..cases import tensor_of
from ..drawing import SIDE
from .cases import CELLS, Wanted

LARGEST = SIZES[1][1]
"""Of objects, as a share of the picture's side."""


def picture_in_boxes(asked: Wanted, seed: int) -> Tensor:
    """(1, 3, H, W) in 0..1: the objects in their colours and the style of the whole picture, each in the middle of its
    box and as wide or as high as this, but no larger than objects of the world are, before a plain background."""
    rng, atlas = random.Random(f"world:{seed}"), load_atlas()
    canvas = Image.fromarray(paint(rng, sample_background(rng, 0.0), SIDE, SIDE))
    style = asked.whole or atlas.styles[0]
    for kind, colour, box in zip(asked.kinds, asked.colours, asked.boxes, strict=True):
        top, left, bottom, right = (side * SIDE // CELLS for side in box)
        side = min(bottom - top, right - left, round(LARGEST * SIDE))
        icon = tint(atlas.icon(kind.name, style), colour).resize((side, side), Image.Resampling.HAMMING)
        canvas.paste(icon, ((left + right - side) // 2, (top + bottom - side) // 2), icon)
    return tensor_of(np.asarray(canvas))[None]
