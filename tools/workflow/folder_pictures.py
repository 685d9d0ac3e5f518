"""A folder of scenes for the example workflow that asks what a folder is made of."""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...bench.explain.folders import make_folder

FOLDER_NAME, COUNT, INDEX = "lab_folder", 40, 0
"""The folder, in the input folder; how many pictures; which folder of the test split of ``bench explain``."""
NEW_PICTURE = "folder_new.png"
"""A picture that is not in the folder, in the input folder."""
MASKED_PICTURE, MASKED = "folder_masked.png", "lemon"
"""One that shows this, and something else."""


def folder_pictures() -> Iterator[tuple[str, Image.Image]]:
    """File names and pictures: one or two of eight kinds of objects each, in every style, a third in a tint."""
    for number, picture in enumerate(make_folder("test", INDEX, 0, COUNT).pictures, 1):
        yield f"{number:02}.png", _image(picture)


def new_picture(shown: str | None = None) -> Image.Image:
    """A scene of the same objects that is not in the folder: two of them, this one among them."""
    folder = make_folder("test", INDEX, 0, COUNT + 20)
    objects = torch.stack([folder.present(factor) for factor in folder.factors if factor[0] == "object"])  # (8, P)
    fits = objects.sum(0) == 2
    if shown is not None:
        fits &= folder.present(("object", shown))
    numbers = fits.nonzero().flatten()
    return _image(folder.pictures[int(numbers[numbers >= COUNT][0])])


def _image(picture: Tensor) -> Image.Image:
    pixels = (picture.movedim(0, -1) * 255).round().byte().numpy()
    return Image.fromarray(np.ascontiguousarray(pixels))
