"""How far a model has a skill, and whether it still draws other things: shares of pictures, as the judge sees them."""

import random
from collections.abc import Sequence

from torch import Tensor

from ...core.backbone import Backbone
from ...lab.judge.judge import Judge
from ...lab.judge.scenes import colour_index
from ...lab.world.atlas import ObjectKind, load_atlas
from ...lab.world.captions import Phrase
from ..drawing import draw
from .tunes import Tune

GROUNDS = ("white", "grey", "blue", "green", "orange", "pink")
DRAWN = 12
"""Pictures by which a skill is judged."""


def score(backbone: Backbone, judge: Judge, tune: Tune, seed: int, count: int = DRAWN) -> float:
    """Share of pictures that show a skill; of the style they show many objects."""
    kinds = [tune.kind] * count
    if tune.style is not None:
        kinds = random.Random("style").sample(load_atlas().of_split("train"), count)
    return _right(judge, drawn(backbone, kinds, seed), kinds, tune.style, tune.colour)


def kept(backbone: Backbone, judge: Judge, seed: int, besides: Sequence[ObjectKind], count: int = DRAWN) -> float:
    """Share of pictures of other objects that still show them, whatever their style."""
    pool = [kind for kind in load_atlas().of_split("train") if kind not in besides]
    kinds = random.Random("kept").sample(pool, count)
    return _right(judge, drawn(backbone, kinds, seed), kinds)


def drawn(backbone: Backbone, kinds: Sequence[ObjectKind], seed: int) -> Tensor:
    """A picture of each (B, 3, H, W), on grounds in turn."""
    prompts = [f"a photo of {Phrase(kind.name)} on {GROUNDS[n % len(GROUNDS)]}" for n, kind in enumerate(kinds)]
    return draw(backbone, prompts, [seed + number for number in range(len(kinds))])


def _right(
    judge: Judge,
    pictures: Tensor,
    kinds: Sequence[ObjectKind],
    style: str | None = None,
    colour: str | None = None,
) -> float:
    reading = judge.look(pictures)
    found, right = judge.found(reading), 0
    for row, kind in enumerate(kinds):
        index = judge.index(kind.name)
        good = kind.name in found[row]
        if style is not None:
            good = good and load_atlas().styles[int(reading.style_of(index)[row].argmax())] == style
        if colour is not None:
            good = good and int(reading.colour_of(index)[row].argmax()) == colour_index(colour)
        right += good
    return right / len(kinds)
