"""Training folders whose captions all name one thing, some of them wrongly."""

import random
from dataclasses import dataclass

from ...lab.world.atlas import ObjectKind, load_atlas
from ...lab.world.backgrounds import sample_background
from ...lab.world.captions import Phrase
from ...lab.world.scene import Look, Scene, SceneSettings, compose
from ..cases import Case, case_of
from ..drawing import SIDE

PICTURES, WRONG = 24, 5


@dataclass(frozen=True, eq=False)
class Folder:
    """Pictures with captions that all name one thing.

    Attributes:
        kind: the thing.
        cases: the pictures, one thing in each.
        captions: of each.
        wrong: of each, whether it shows another thing.
    """

    kind: ObjectKind
    cases: tuple[Case, ...]
    captions: tuple[str, ...]
    wrong: tuple[bool, ...]


def folder(split: str, seed: int, wrong: int = WRONG) -> Folder:
    """The folder of a case, with so many wrong captions."""
    rng, atlas = random.Random(f"weights:{split}:{seed}"), load_atlas()
    kind, *others = rng.sample(atlas.of_split("train"), 1 + wrong)
    spoiled = set(rng.sample(range(1, PICTURES), wrong))  # the first picture is right
    cases, captions = [], []
    for number in range(PICTURES):
        background, shown = sample_background(rng, 0.5), others.pop() if number in spoiled else kind
        said = sample_background(rng, 0.5) if number in spoiled else background
        look = Look(shown.name, atlas.styles[0], None, shown.name)
        picture, objects = compose(rng, [look], background, SceneSettings(counts=(1,), size=(SIDE, SIDE)))
        cases.append(case_of(Scene(picture, "", objects, background), seed))
        captions.append(f"{Phrase(kind.name)} on {said.words}")
    return Folder(kind, tuple(cases), tuple(captions), tuple(number in spoiled for number in range(PICTURES)))
