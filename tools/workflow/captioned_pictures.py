"""A training folder whose captions leave out three words in ten, for the example workflow that completes them."""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image

from ...bench.explain.folders import make_folder

FOLDER_NAME, COUNT, INDEX, OMITTED = "lab_captioned", 60, 5, 0.3
"""The folder, in the input folder; how many pictures; which folder of the test split of ``bench explain``; and the
share of words that captions leave out."""


def captioned_pictures() -> Iterator[tuple[str, Image.Image, str]]:
    """Stems of file names, scenes of one or two objects, and their captions: lists of tags."""
    folder = make_folder("test", INDEX, 0, COUNT)
    truth = torch.stack([folder.present(factor) for factor in folder.factors], 1)  # (P, K)
    kept = truth & (torch.rand(truth.shape, generator=torch.Generator().manual_seed(INDEX)) >= OMITTED)
    for number, (picture, row) in enumerate(zip(folder.pictures, kept.tolist(), strict=True), 1):
        pixels = (picture.movedim(0, -1) * 255).round().byte().numpy()
        tags = [word for (_, word), on in zip(folder.factors, row, strict=True) if on]
        yield f"{number:02}", Image.fromarray(np.ascontiguousarray(pixels)), ", ".join(tags)


def vocabulary() -> list[str]:
    """The words of the folder."""
    return [word for _, word in make_folder("test", INDEX, 0, 1).factors]
