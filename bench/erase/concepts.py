"""Which concepts a case of ``bench erase`` erases.

The model knows the objects of the training split alone, so that these are shared out: settings are chosen on those that
``--split development`` erases, 15 of 48, and figures are those of the others, which ``--split test`` erases.
"""

import random
from typing import Literal, get_args

from ...lab.judge.scenes import COLOURS
from ...lab.world.atlas import ObjectKind, load_atlas
from ..harness import Request

What = Literal["mixed", "object", "style", "colour"]
"""What cases erase: objects, a style in every fourth (``mixed``), or one of the three alone."""
WHAT: tuple[str, ...] = get_args(What)
UNLISTED, LISTED = SYNONYMS = ("unlisted", "listed")
"""Whether synonyms of the objects are erased beside their names, or only asked for afterwards."""
STYLE_EVERY, TESTED = 4, 33


def what_of(request: Request, index: int) -> tuple[str, int]:
    """What a case erases, and its turn among those that erase the same."""
    what = request.options.get("what", "mixed")
    if what != "mixed":
        return what, index
    if index % STYLE_EVERY == STYLE_EVERY - 1:
        return "style", index // STYLE_EVERY
    return "object", index - index // STYLE_EVERY


def kinds_of_turn(request: Request, turn: int) -> list[ObjectKind]:
    """The objects that a turn erases: the split's one after the other, in an order of the seed, as many as asked."""
    kinds, count = erased_in(request.split, request.seed), int(request.options.get("concepts", 1))
    check_count(count, request.split)
    return [kinds[(turn * count + number) % len(kinds)] for number in range(count)]


def check_count(count: int, split: str) -> None:
    """Raise ``ValueError`` for a number of concepts that a split does not erase at once."""
    most = len(erased_in(split))
    if not 1 <= count <= most:
        raise ValueError(f"--split {split} erases 1 to {most} objects at once, got --concepts {count}")


def look_of_turn(what: str, turn: int) -> str:
    """The style or the colour that a turn erases."""
    looks = load_atlas().styles if what == "style" else COLOURS
    return looks[turn % len(looks)]


def erased_in(split: str, seed: int = 0) -> list[ObjectKind]:
    """The objects that a split erases, in an order of the seed: test the first 33 of seed 0, which 44 cases erase,
    development the others, training all."""
    trained = load_atlas().of_split("train")
    held_out = random.Random("order:0").sample(trained, len(trained))[:TESTED]
    order = random.Random(f"order:{seed}").sample(trained, len(trained))
    return [kind for kind in order if split == "train" or (kind in held_out) == (split == "test")]
