"""The example pictures of the workflows, in ``workflows/input``."""

import random

from PIL import Image

from ...host.workflow.examples import WORKFLOWS
from ...lab.world.backgrounds import sample_background
from ...lab.world.scene import Look, Scene, SceneSettings, compose, sample_scene
from .captioned_pictures import FOLDER_NAME as CAPTIONED
from .captioned_pictures import captioned_pictures
from .folder_pictures import FOLDER_NAME, MASKED, MASKED_PICTURE, NEW_PICTURE, folder_pictures, new_picture
from .lone_pictures import lone_pictures
from .object_pictures import OBJECTS, PROTOTYPES, object_picture
from .subject_pictures import FOLDER_NAME as SUBJECT_FOLDER
from .subject_pictures import example_pictures, subject_folder
from .taste_pictures import taste_pictures
from .training_pictures import FOLDER_NAME as TRAINING
from .training_pictures import training_pictures

INPUT = WORKFLOWS / "input"

# Scenes of the test split, whose pair of objects no model has seen together.
PICTURES = {"two_things.png": 44, "two_other_things.png": 62}
AGAIN = "two_things_again.png"  # the things of the first, elsewhere and on another ground


def again(scene: Scene, seed: int) -> Scene:
    """The same things in the same styles, placed anew on another plain ground."""
    rng = random.Random(f"again:{seed}")
    looks = [Look(thing.name, thing.style, None, thing.name) for thing in scene.objects]
    settings, ground = SceneSettings(counts=(len(looks),)), sample_background(rng, 0.0)
    picture, objects = compose(rng, looks, ground, settings)
    return Scene(picture, "", objects, ground)


def write_pictures() -> None:
    """Write all of them, and the captions of those that have some."""
    for name in OBJECTS:
        _save(object_picture(name), PROTOTYPES, f"{name}.png")
    for name, picture in folder_pictures():
        _save(picture, FOLDER_NAME, name)
    for name, picture in subject_folder():
        _save(picture, SUBJECT_FOLDER, name)
    for folder, pictures in ((CAPTIONED, captioned_pictures()), (TRAINING, training_pictures())):
        for stem, picture, caption in pictures:
            _save(picture, folder, f"{stem}.png")
            (INPUT / folder / f"{stem}.txt").write_text(f"{caption}\n", encoding="utf-8")
    for name, picture in (*taste_pictures(), *example_pictures(), *lone_pictures()):
        _save(picture, name)
    _save(new_picture(MASKED), MASKED_PICTURE)
    _save(new_picture(), NEW_PICTURE)
    for name, seed in PICTURES.items():
        scene = sample_scene("test", seed, SceneSettings(counts=(2,), patterned=0, tinted=0))
        _save(Image.fromarray(scene.picture), name)
    first = sample_scene("test", PICTURES["two_things.png"], SceneSettings(counts=(2,), patterned=0, tinted=0))
    _save(Image.fromarray(again(first, 4).picture), AGAIN)


def _save(picture: Image.Image, *place: str) -> None:
    path = INPUT.joinpath(*place)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True)
