"""Pictures that somebody likes and does not like, for the example workflow that asks what the difference is."""

from collections.abc import Iterator

from PIL import Image

from ...lab.world.scene import SceneSettings, sample_scene

LIKED, DISLIKED, COUNT = "lab_liked", "lab_disliked", 20
"""The folders, in the input folder, and how many pictures each has."""
STYLE = "neon"
"""What is liked."""


def taste_pictures() -> Iterator[tuple[str, Image.Image]]:
    """File names with their folder, and scenes of one object: neon ones are liked."""
    counts, seed = {LIKED: 0, DISLIKED: 0}, 0
    while min(counts.values()) < COUNT:
        scene = sample_scene("test", seed, SceneSettings(counts=(1,)))
        folder = LIKED if scene.objects[0].style == STYLE else DISLIKED
        if counts[folder] < COUNT:
            counts[folder] += 1
            yield f"{folder}/{counts[folder]:02}.png", Image.fromarray(scene.picture)
        seed += 1
