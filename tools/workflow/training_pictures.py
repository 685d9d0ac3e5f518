"""A folder to train a subject on, some of whose captions are wrong, for the example workflow that checks and learns."""

import random
from collections.abc import Iterator

import numpy as np
from PIL import Image

from ...lab.world.atlas import load_atlas
from ...lab.world.backgrounds import COLOURS, PATTERNS, Background, sample_background
from ...lab.world.captions import Phrase
from ...lab.world.scene import Look, SceneSettings, compose

FOLDER_NAME, COUNT, SUBJECT = "lab_training", 32, "robot"
"""The folder, in the input folder; how many pictures; what all captions name."""
WRONG = (7, 11, 17, 22, 28, 31)
"""Pictures that do not show it, though their captions say so; counted from 1."""
OTHERS = ("horse", "rocket", "cactus", "elephant", "turtle")


def training_pictures() -> Iterator[tuple[str, Image.Image, str]]:
    """Stems of file names, pictures of one thing each, and captions."""
    for number in range(1, COUNT + 1):
        rng = random.Random(f"training:{number}")
        ground, name = sample_background(rng, 0.5), SUBJECT
        caption = f"{Phrase(name)} on {ground.words}"
        if number in WRONG:
            ground, name = sample_background(rng, 0.5), OTHERS[number % len(OTHERS)]
        yield f"{number:02}", Image.fromarray(np.ascontiguousarray(_picture(rng, name, ground))), caption


def _picture(rng: random.Random, name: str, ground: Background) -> np.ndarray:
    look = Look(name, load_atlas().styles[0], None, name)
    return compose(rng, [look], ground, SceneSettings(counts=(1,)))[0]


def training_words() -> list[str]:
    """The words of the captions."""
    return [SUBJECT, *COLOURS, *PATTERNS]
