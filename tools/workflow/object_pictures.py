"""A folder of pictures of the world's objects, for the example workflow that scores concepts."""

from PIL import Image

from ...lab.world.atlas import load_atlas

PROTOTYPES = "lab_concepts"
"""The folder, in the input folder."""
OBJECTS = (
    "cat",
    "fish",
    "apple",
    "mushroom",
    "sunflower",
    "house",
    "car",
    "rocket",
    "umbrella",
    "robot",
    "strawberry",
    "bell",
)
OBJECT_SIDE, OBJECT_STYLE, OBJECT_HAND = 64, "flat", "twemoji"
"""Which objects, none of them in the workflows' own pictures; how large, in which style and by
which hand: not the one that training saw."""


def object_picture(name: str) -> Image.Image:
    """An object of the world alone, small, its surroundings transparent."""
    small = (
        load_atlas().icon(name, OBJECT_STYLE, OBJECT_HAND).resize((OBJECT_SIDE * 3 // 4,) * 2, Image.Resampling.LANCZOS)
    )
    picture = Image.new("RGBA", (OBJECT_SIDE, OBJECT_SIDE))
    picture.paste(small, (OBJECT_SIDE // 8, OBJECT_SIDE // 8))
    return picture
