"""The cases of ``bench erase``: objects, one or several at once, or one style or colour."""

import random
from collections.abc import Sequence

from torch import Tensor

from ...lab.judge.judge import Reading
from ...lab.judge.scenes import colour_index
from ...lab.world.atlas import ObjectKind, load_atlas
from ...lab.world.captions import Phrase
from ..cases import SEEDS_PER_RUN
from ..drawing import draw
from ..harness import Request, Row
from .concepts import LISTED, kinds_of_turn, look_of_turn, what_of
from .parts import SEEDS, Parts, both_ways, erasure_of, nearest, noise_seed

TARGETS, OTHERS, NEIGHBOURS, BESIDE = 4, 32, 4, 16
OF_MANY = 20
"""Pictures that are drawn of several erased objects together, about."""


def measure(parts: Parts, request: Request, index: int) -> Row:
    """One erasure: for every picture what was asked, and whether it was found before and after."""
    own_seed = request.seed * SEEDS_PER_RUN + index
    rng = random.Random(f"erase:{own_seed}" if request.split == "test" else f"erase:{request.split}:{own_seed}")
    what, turn = what_of(request, index)
    row: Row = {"seed": own_seed, "what": what}
    if what == "object":
        return row | measure_objects(parts, request, rng, own_seed, kinds_of_turn(request, turn))
    return row | measure_look(parts, request, rng, own_seed, what, look_of_turn(what, turn))


def measure_objects(parts: Parts, request: Request, rng: random.Random, seed: int, kinds: Sequence[ObjectKind]) -> Row:
    """Erase objects together."""
    near = neighbours(parts, kinds)
    rest = [other for other in load_atlas().of_split("train") if other not in (*kinds, *near)]
    others = [*near, *rng.sample(rest, min(len(rest), max(0, OTHERS - len(near))))]
    preserved = {other.name for other in others[::2]} | {other.name for other in rest[::2] if other not in others}
    after = parts.without(erasure_of(parts.backbone, request, words_of(request, kinds), sorted(preserved)))
    each = max(1, min(TARGETS, OF_MANY // len(kinds)))
    targets = [(Phrase(kind.name), kind) for kind in kinds for _ in range(each)]
    synonyms = [
        (Phrase(word), kind) for kind in kinds for word in kind.synonyms for _ in range(each // len(kind.synonyms))
    ]
    asked = targets + synonyms + [(Phrase(other.name), other) for other in others]
    turns = [*list(range(each)) * len(kinds), *range(len(synonyms)), *[seed % SEEDS] * len(others)]
    seeds = [noise_seed(request, phrase, turn) for (phrase, _), turn in zip(asked, turns, strict=True)]
    entries = both_ways(parts, after, asked, seeds)
    first = len(targets) + len(synonyms)
    return {
        "erased": ", ".join(kind.name for kind in kinds),
        "targets": entries[: len(targets)],
        "synonyms": entries[len(targets) : first],
        "others": [
            entry | {"preserved": other.name in preserved, "neighbour": other in near}
            for other, entry in zip(others, entries[first:], strict=True)
        ],
    }


def words_of(request: Request, kinds: Sequence[ObjectKind]) -> list[str]:
    """The words that are erased: the names, and their synonyms if these are listed, too."""
    listed = request.options.get("synonyms") == LISTED
    return [word for kind in kinds for word in (kind.name, *(kind.synonyms if listed else ()))]


def neighbours(parts: Parts, kinds: Sequence[ObjectKind]) -> list[ObjectKind]:
    """Objects that stay, whose names are most like those of the erased: the nearest four of one, the nearest one of
    each of several."""
    near = [[other for other in nearest(parts.backbone, kind) if other not in kinds] for kind in kinds]
    if len(kinds) == 1:
        return near[0][:NEIGHBOURS]
    return list(dict.fromkeys(names[0] for names in near if names))


def measure_look(parts: Parts, request: Request, rng: random.Random, seed: int, what: str, look: str) -> Row:
    """Erase one style or colour: is it seen in objects that are asked for in it, and do objects without it stay?"""
    atlas = load_atlas()
    kinds = rng.sample(atlas.of_split("train"), TARGETS)
    preserved = sorted(kind.name for kind in atlas.of_split("train")[::2])
    after = parts.without(erasure_of(parts.backbone, request, [named(what, look)], preserved))
    prompts = [prompt_in(what, look, kind) for kind in kinds]
    readings = [parts.judge.look(draw(backbone, prompts, seed)) for backbone in (parts.backbone, after)]
    entries = []
    for row, kind in enumerate(kinds):
        was, now = (seen_in(what, look, one, parts.judge.index(kind.name))[row] for one in readings)
        entries.append({"asked": kind.name, "before": bool(was), "after": bool(now)})
    plain = [(Phrase(kind.name), kind) for kind in rng.sample(atlas.of_split("train"), BESIDE)]
    seeds = [noise_seed(request, phrase, seed) for phrase, _ in plain]
    others = [entry | {"preserved": entry["asked"] in preserved} for entry in both_ways(parts, after, plain, seeds)]
    return {"erased": look, "targets": entries, "synonyms": [], "others": others}


def named(what: str, look: str) -> str:
    """The text that is erased."""
    return f"{look} style" if what == "style" else look


def prompt_in(what: str, look: str, kind: ObjectKind) -> str:
    """A prompt for an object in a style or a colour."""
    return f"{Phrase(kind.name)} in {look} style" if what == "style" else f"a photo of {Phrase(kind.name, colour=look)}"


def seen_in(what: str, look: str, reading: Reading, kind: int) -> Tensor:
    """(B,) bool: where the object with this index is seen in this style or colour."""
    if what == "style":
        return reading.style_of(kind).argmax(1) == load_atlas().styles.index(look)
    return reading.colour_of(kind).argmax(1) == colour_index(look)
