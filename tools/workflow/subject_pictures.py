"""A subject that the lab model has not seen, for the example workflow that finds it: its examples and a folder."""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...bench.recognise.subject_cases import SubjectCase, make_subject

FOLDER_NAME, COUNT, INDEX = "lab_subject", 24, 0
"""The folder, in the input folder; how many pictures; which subject of the test split of ``bench recognise``."""
EXAMPLES = ("subject_1.png", "subject_2.png")


def _case() -> SubjectCase:
    return make_subject("test", INDEX, 0, len(EXAMPLES), "own", COUNT)


def example_pictures() -> Iterator[tuple[str, Image.Image]]:
    """File names and pictures whose painted mask is their transparency, as ComfyUI's mask editor keeps it."""
    case = _case()
    for name, picture, mask in zip(EXAMPLES, case.examples, case.example_masks, strict=True):
        pixels = torch.cat([picture, 1 - mask[None].float()])
        yield name, _image(pixels)


def subject_folder() -> Iterator[tuple[str, Image.Image]]:
    """File names and pictures, every other of which shows the subject."""
    for number, picture in enumerate(_case().folder, 1):
        yield f"{number:02}.png", _image(picture)


def _image(picture: Tensor) -> Image.Image:
    pixels = (picture.movedim(0, -1) * 255).round().byte().numpy()
    return Image.fromarray(np.ascontiguousarray(pixels))
