"""``bench lab``: is the lab model good enough to tell methods apart? The judge looks at what it draws.

Each case asks for a picture of every kind of question below, and passes one scene through the autoencoder and the
judge. The judge's own accuracy stands beside the model's.
"""

import argparse
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...core.backbone import Backbone
from ..judge.judge import Judge, Reading, load_judge, permuted
from ..judge.scenes import COLOURS, colour_index
from ..train.vae import psnr
from ..world.atlas import ObjectKind, load_atlas
from ..world.captions import Phrase, write_caption
from ..world.scene import SceneSettings, sample_kinds, sample_scene
from .cases import SEEDS_PER_RUN, case_of
from .command import add_common_arguments, backbone_for, run_command
from .controls import Control
from .drawing import draw
from .harness import Bench, Request, Row
from .summary import aligned, interval, means, with_interval

FIGURES = {
    "vae_psnr": ("autoencoder, dB", 26.0),
    "judge_clean": ("judge: exact set, scenes as drawn", 0.97),
    "judge_vae": ("judge: exact set, through the autoencoder", 0.97),
    "one_object": ("one object: exactly that", 0.95),
    "two_objects": ("two objects: exactly those", 0.85),
    "three_objects": ("three objects: exactly those", 0.6),
    "style": ("style as asked", 0.95),
    "colour": ("colour as asked", 0.85),
    "name": ("objects that have synonyms, by name", None),
    "synonym": ("the same pictures, by synonym", None),
}
"""Figure to what it says and the aim."""


@dataclass(frozen=True)
class Question:
    """A prompt and what its picture must show."""

    figure: str
    prompt: str
    kinds: tuple[ObjectKind, ...]
    style: str | None = None
    colour: str | None = None


def ask(split: str, seed: int, index: int) -> tuple[list[Question], list[Question]]:
    """The questions of a case, in two sheets that begin with the same picture asked for by name and by synonym.

    Objects, styles and colours take turns, so that many cases cover all of them; pairs are those of the split.
    """
    rng = random.Random(f"questions:{split}:{seed}:{index}")
    atlas, turn = load_atlas(), random.Random(f"order:{seed}")
    kinds = turn.sample(atlas.of_split("train"), len(atlas.of_split("train")))
    doubled = [kind for kind in kinds if kind.synonyms]
    kind, known, style, colour = kinds[index % len(kinds)], doubled[index % len(doubled)], atlas.styles, COLOURS
    synonym = rng.choice(known.synonyms)
    caption = write_caption(rng, [Phrase(known.name)])
    by_synonym = caption.replace(str(Phrase(known.name)), str(Phrase(synonym)))
    named = Question("name", caption, (known,))
    several = [sample_kinds(rng, split, count, unseen=False) for count in (2, 3)]
    first = [named, question(rng, "one_object", [kind])]
    first += [
        question(rng, figure, found) for figure, found in zip(("two_objects", "three_objects"), several, strict=True)
    ]
    second = [
        Question("synonym", by_synonym, (known,)),
        question(rng, "style", [kind], style=style[index % len(style)]),
        question(rng, "colour", [kind], colour=colour[index % len(colour)]),
    ]
    return first, second


def question(
    rng: random.Random, figure: str, kinds: Sequence[ObjectKind], style: str | None = None, colour: str | None = None
) -> Question:
    """A question with a caption in the words of the world."""
    caption = write_caption(rng, [Phrase(kind.name, None, colour) for kind in kinds], style=style)
    return Question(figure, caption, tuple(kinds), style, colour)


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
    """What was found in one picture, and whether it is what was asked."""
    names = {kind.name for kind in asked.kinds}
    right = found == names
    if asked.style is not None:
        right = (
            load_atlas().styles[int(reading.style_of(judge.index(asked.kinds[0].name))[row].argmax())] == asked.style
        )
    if asked.colour is not None:
        said = int(reading.colour_of(judge.index(asked.kinds[0].name))[row].argmax())
        right = said == colour_index(asked.colour)
    return {"prompt": asked.prompt, "asked": sorted(names), "found": sorted(found), "right": right}


def judge_scene(backbone: Backbone, judge: Judge, split: str, seed: int) -> Row:
    """The judge on a scene of 1 to 3 objects, and the autoencoder's share in it; every second scene of objects that
    only the judge has seen."""
    unseen = split != "train" and seed % 2 == 1
    scene = sample_scene(split, seed, SceneSettings(counts=(1, 2, 3), unseen=unseen))
    clean = case_of(scene, seed).picture
    restored = backbone.decode_latent(backbone.encode_image(clean)).clamp(0, 1)
    truth = frozenset(thing.name for thing in scene.objects)
    seen = judge.found(judge.look(torch.cat([clean, restored])))
    return {
        "judge_clean": seen[0] == truth,
        "judge_vae": seen[1] == truth,
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


BENCH = Bench("lab", 1, prepare, measure, figures, table, headline)
