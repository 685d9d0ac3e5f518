"""Pictures of one object each, in a colour of its own, for the example workflow that learns two things apart."""

import random

from PIL import Image

from ...lab.world.backgrounds import sample_background
from ...lab.world.scene import Look, SceneSettings, compose

LONE = {
    "one_thing.png": (Look("cat", "flat", "purple", "cat"), 1),
    "another_thing.png": (Look("rocket", "flat", "green", "rocket"), 2),
}
"""File to the object and a seed for where it stands."""


def lone_pictures() -> list[tuple[str, Image.Image]]:
    """Each file with its picture."""
    found = []
    for name, (look, seed) in LONE.items():
        rng, settings = random.Random(f"lora:{seed}"), SceneSettings(counts=(1,), patterned=0, tinted=0)
        ground = sample_background(rng, 0)
        picture, _ = compose(rng, [look], ground, settings, rng.choice(settings.hands))
        found.append((name, Image.fromarray(picture)))
    return found
