"""``bench lab``: is the lab model good enough to tell methods apart? The judge looks at what it draws.

Each case asks for a picture of every kind of question below, and passes one scene through the autoencoder and the
judge. The judge's own accuracy stands beside the model's.
"""

import argparse
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import torch

from ..core.backbone import Backbone
from ..lab.judge.judge import Judge, Reading, load_judge, permuted
from ..lab.judge.scenes import COLOURS, colour_index
from ..lab.world.atlas import ObjectKind, load_atlas
from ..lab.world.backgrounds import COLOURS as GROUNDS
from ..lab.world.captions import Phrase, write_caption
from ..lab.world.scene import SceneSettings, place_words, relation_words, sample_kinds, sample_scene
from ..training.vae import psnr
from .cases import SEEDS_PER_RUN, case_of
from .command import add_common_arguments, backbone_for, run_command
from .controls import Control
from .drawing import draw
from .harness import Bench, Request, Row
from .summary import aligned, interval, means, with_interval

FIGURES = {
    "vae_psnr": ("autoencoder, dB", 27.0),
    "judge_clean": ("judge: exact set, scenes as drawn", 0.97),
    "judge_vae": ("judge: exact set, through the autoencoder", 0.96),
    "judge_count": ("judge: every number right, scenes with several of a kind", 0.95),
    "one_object": ("one object: exactly that", 0.95),
    "two_objects": ("two objects: exactly those", 0.8),
    "three_objects": ("three objects: exactly those", 0.5),
    "style": ("style as asked", 0.9),
    "colour": ("colour as asked", 0.92),
    "name": ("objects that have synonyms, by name", None),
    "synonym": ("the same pictures, by synonym", None),
    "bound": ("two objects, each in its own colour", None),
    "place": ("one object on the side asked for", None),
    "relation": ("two objects, standing to each other as asked", None),
    "count": ("two or three of a kind: as many, nothing else", None),
}
"""Figure to what it says and the aim."""

SIDES = ("on the left", "on the right", "at the top", "at the bottom")
RELATIONS = ("left of", "right of", "above", "below")


@dataclass(frozen=True)
class Question:
    """A prompt and what its picture must show: ``kinds``, and where it is asked for the style of the first, the colours
    of all, the place of the first, how the first stands to the second, and how many there are of the first.
    ``setting``: a style and a ground that the prompt tells besides, and nobody judges."""

    figure: str
    prompt: str
    kinds: tuple[ObjectKind, ...]
    style: str | None = None
    colours: tuple[str, ...] = ()
    place: str | None = None
    relation: str | None = None
    number: int | None = None
    setting: tuple[str | None, str | None] = (None, None)


def ask(split: str, seed: int, index: int) -> list[list[Question]]:
    """The questions of a case, in sheets; the first two begin with the same picture asked for by name and by synonym.

    Objects, styles and colours take turns, so that many cases cover all of them; pairs are those of the split.
    """
    rng = random.Random(f"questions:{split}:{seed}:{index}")
    atlas, turn = load_atlas(), random.Random(f"order:{seed}")
    kinds = turn.sample(atlas.of_split("train"), len(atlas.of_split("train")))
    doubled = [kind for kind in kinds if kind.synonyms]
    kind, known = kinds[index % len(kinds)], doubled[index % len(doubled)]
    caption = write_caption(rng, [Phrase(known.name)])
    by_synonym = caption.replace(str(Phrase(known.name)), str(Phrase(rng.choice(known.synonyms))))
    pair, three = (sample_kinds(rng, split, count, unseen=False) for count in (2, 3))
    first = [
        Question("name", caption, (known,)),
        question(rng, "one_object", [kind]),
        question(rng, "two_objects", pair),
        question(rng, "three_objects", three),
    ]
    second = [
        Question("synonym", by_synonym, (known,)),
        question(rng, "style", [kind], style=atlas.styles[index % len(atlas.styles)]),
        question(rng, "colour", [kind], colours=(COLOURS[index % len(COLOURS)],)),
    ]
    # Places and numbers are asked for as complete captions tell them, with style and ground.
    setting = {"setting": ("flat", rng.choice(list(GROUNDS)))}
    third = [
        question(rng, "bound", pair, colours=tuple(rng.sample(COLOURS, 2))),
        question(rng, "place", [kind], place=SIDES[index % len(SIDES)], **setting),
        question(rng, "relation", pair, relation=RELATIONS[index % len(RELATIONS)], **setting),
        question(rng, "count", [kind], number=2 + index % 2, **setting),
    ]
    return [first, second, third]


def question(rng: random.Random, figure: str, kinds: Sequence[ObjectKind], **asked: Any) -> Question:
    """A question with a caption in the words of the world."""
    wanted = Question(figure, "", tuple(kinds), **asked)
    phrases = [
        Phrase(kind.name, colour=colour, place=wanted.place, number=wanted.number or 1)
        for kind, colour in zip_longest(kinds, wanted.colours)
    ]
    style, ground = wanted.setting
    caption = write_caption(rng, phrases, style=wanted.style or style, background=ground, relation=wanted.relation)
    return replace(wanted, prompt=caption)


def prepare(request: Request) -> tuple[Backbone, Judge]:
    """The model and the judge; the judge with permuted names where that control is asked for."""
    judge = load_judge()
    return backbone_for(request), permuted(judge, request.seed) if request.options.get("permuted") else judge


def measure(prepared: tuple[Backbone, Judge], request: Request, index: int) -> Row:
    """One case: what was asked and found, by figure."""
    backbone, judge = prepared
    own_seed = request.seed * SEEDS_PER_RUN + index
    answers: Row = {"seed": own_seed}
    for sheet in ask(request.split, request.seed, index):
        pictures = draw(backbone, [question.prompt for question in sheet], own_seed)
        reading = judge.look(pictures)
        found = judge.found(reading)
        for row, asked in enumerate(sheet):
            answers[asked.figure] = answer(judge, reading, row, asked, found[row])
    return answers | judge_scene(backbone, judge, request.split, own_seed)


def answer(judge: Judge, reading: Reading, row: int, asked: Question, found: frozenset[str]) -> dict[str, Any]:
    """What was found in one picture, and whether it is what was asked.

    A style and a colour are asked of the object where it is seen best; two colours, a place, a relation and a number
    only count where exactly the objects that were asked for are found.
    """
    names = {kind.name for kind in asked.kinds}
    indices = [judge.index(kind.name) for kind in asked.kinds]
    alone = asked.style is not None or len(asked.colours) == 1
    right = [alone or found == names]
    if asked.style is not None:
        right.append(load_atlas().styles[int(reading.style_of(indices[0])[row].argmax())] == asked.style)
    for index, colour in zip(indices, asked.colours, strict=False):
        right.append(int(reading.colour_of(index)[row].argmax()) == colour_index(colour))
    middles = [tuple(reading.middle_of(index)[row].tolist()) for index in indices]
    if asked.place is not None:
        right.append(asked.place.split()[-1] in place_words(*middles[0]))
    if asked.relation is not None:
        right.append(relation_words(middles[0], middles[1]) == asked.relation)
    if asked.number is not None:
        right.append(reading.number_of(indices[0], row) == asked.number)
    return {"prompt": asked.prompt, "asked": sorted(names), "found": sorted(found), "right": all(right)}


def judge_scene(backbone: Backbone, judge: Judge, split: str, seed: int) -> Row:
    """The judge on a scene of 1 to 3 objects, the autoencoder's share in it, and the judge on a scene with two to four
    of a kind; every second scene of objects that only the judge has seen, by all hands."""
    unseen = split != "train" and seed % 2 == 1
    settings = SceneSettings(counts=(1, 2, 3), unseen=unseen, hands=load_atlas().hands)
    scene = sample_scene(split, seed, settings)
    alike = sample_scene(split, seed, replace(settings, counts=(2, 3, 4), alike=1.0))
    clean = case_of(scene, seed).picture
    restored = backbone.decode_latent(backbone.encode_image(clean)).clamp(0, 1)
    truth = frozenset(thing.name for thing in scene.objects)
    seen = judge.found(judge.look(torch.cat([clean, restored])))
    counted = judge.look(case_of(alike, seed).picture)
    names = {thing.name for thing in alike.objects}
    return {
        "judge_clean": seen[0] == truth,
        "judge_vae": seen[1] == truth,
        "judge_count": all(counted.number_of(judge.index(name)) == alike.count(name) for name in names),
        "vae_psnr": psnr(restored * 2 - 1, clean * 2 - 1),
    }


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Each figure's mean and interval; ``per_object`` tells for every object how often it was right."""
    values = {name: [float(value_of(row[name])) for row in rows] for name in FIGURES}
    by_object: dict[str, list[bool]] = {}
    for row in rows:
        by_object.setdefault(row["one_object"]["asked"][0], []).append(row["one_object"]["right"])
    per_object = {name: round(sum(right) / len(right), 4) for name, right in sorted(by_object.items())}
    return {name: interval(found, request.seed) for name, found in values.items()} | {"per_object": per_object}


def value_of(entry: Any) -> float:
    """A figure of one case: a number, a yes or no, or an answer."""
    return float(entry["right"] if isinstance(entry, dict) else entry)


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    summary = result["summary"]
    rows = [
        [said, with_interval(summary[name]), "" if aim is None else f"{aim:g}"] for name, (said, aim) in FIGURES.items()
    ]
    weak = [
        f"{name} {share:.2f}" for name, share in sorted(summary["per_object"].items(), key=lambda x: x[1]) if share < 1
    ]
    head = f"bench lab: {result['cases']} cases, {result['split']} split, seed {result['seed']}; 95% intervals"
    listed = f"objects not always right: {', '.join(weak) or 'none'}"
    return f"{head}\n{aligned([['', 'found', 'aim'], *rows])}\n{listed}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench lab``."""
    add_common_arguments(parser, cases=120)
    parser.add_argument("--permuted", action="store_true", help="judge with permuted names: the control, all must fail")


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    return run_command(BENCH, args, {"permuted": True} if args.permuted else {}, CONTROLS)


def _right(summary: Mapping[str, Any]) -> float:
    return float(summary["one_object"]["mean"])


CONTROLS = (
    Control("untrained", "one object, drawn by a model at random weights", _right, 0.1, untrained=True),
    Control("permuted", "one object, seen by a judge with permuted names", _right, 0.1, {"permuted": True}),
)


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The means; ``judge_accuracy`` is that on scenes as drawn and through the autoencoder together."""
    found = means(summary)
    return found | {"judge_accuracy": round((found["judge_clean"] + found["judge_vae"]) / 2, 4)}


BENCH = Bench("lab", 3, prepare, measure, figures, table, headline)
