"""``bench compose``: several concepts, each with its own colour and place, in one picture.

Each case asks for two, three or four objects in turn, each in a colour and in a box of its own. The judge says which
objects the picture shows, in which colours, and where. ``--method plain`` draws the prompt alone, ``area`` with stock
area conditioning. ``--alike`` asks for two of one kind in two colours, ``--learnt`` for tokens that were learnt from a
picture of the objects. One object alone is drawn by the method and by the plain prompt, so that what composing costs a
single concept shows.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...core.backbone import Backbone
from ...core.compose.composer import leave, share_of
from ...core.compose.composition import Composition, Concept, compose
from ...core.compose.registry import METHODS
from ...core.sampling import ddim
from ...lab.judge.judge import Judge, load_judge
from ..cases import SEEDS_PER_RUN
from ..command import add_common_arguments, add_settings_argument, backbone_for, chosen_settings, run_command
from ..controls import Control
from ..drawing import GUIDANCE, SIDE, STEPS, unconditional
from ..harness import Bench, Request, Row
from ..summary import aligned, interval, means, with_interval
from .areas import predict_in_areas
from .cases import COUNTS, Wanted, learnt, mask_of, wanted
from .reading import answers, exact, leak_matrix

PLAIN, AREA = "plain", "area"
MOST_LOST = 0.03
"""Of single-concept fidelity, that a way of composing may lose."""

FIGURES = {
    "exact": "exactly those objects",
    "exact_2": "of them, two objects",
    "exact_3": "three",
    "exact_4": "four",
    "found": "share of the objects that are found",
    "colours": "share of the objects found, in their own colour",
    "placed": "share of the objects found, with the middle in their own box",
    "leak": "share of an object's cells in the boxes of others",
    "one": "one object alone: exactly that",
    "lost": f"lost of that against the plain prompt (aim: {MOST_LOST:g} at most)",
}


def prepare(request: Request) -> tuple[Backbone, Judge]:
    """The model and the judge."""
    return backbone_for(request), load_judge()


def measure(prepared: tuple[Backbone, Judge], request: Request, index: int) -> Row:
    """One case: what was asked, and what the judge sees."""
    backbone, judge = prepared
    own_seed, options = request.seed * SEEDS_PER_RUN + index, request.options
    several, one = wanted(request.split, request.seed, index, bool(options.get("alike")))
    if options.get("learnt"):
        several, one = learnt(backbone, several, own_seed)
    row: Row = {"seed": own_seed, "prompt": several.prompt}
    alone = draw(backbone, one, options, own_seed)
    plain = alone if options["method"] == PLAIN else draw(backbone, one, {"method": PLAIN}, own_seed)
    picture = draw(backbone, several, options, own_seed)
    reading = judge.look(picture)
    (found,) = judge.found(reading)
    row |= {"asked": [kind.name for kind in several.kinds], "found": sorted(found)}
    row |= {"exact": exact(judge, reading, several, found), "objects": answers(judge, reading, several, found)}
    both = judge.found(judge.look(torch.cat([alone, plain])))
    shown, by_prompt = (float(names == {one.kinds[0].name}) for names in both)
    return row | {"one": shown, "lost": by_prompt - shown}


@torch.no_grad()
def draw(backbone: Backbone, asked: Wanted, options: Mapping[str, Any], seed: int) -> Tensor:
    """The picture (1, 3, H, W) by the way of composing that the options name."""
    cell = SIDE // backbone.latent_downscale
    sizes: dict[str, Any] = {"steps": STEPS, "guidance": GUIDANCE, "seed": [seed]}
    negative = unconditional(backbone)
    if options["method"] in (PLAIN, AREA):
        positive, *texts = (backbone.encode_text([text], asked.placeholders) for text in (asked.prompt, *asked.texts))
        if options["method"] == AREA:
            sizes["predict"] = predict_in_areas(backbone, positive, texts, asked.boxes, negative)
    else:
        composer = METHODS[options["method"]]
        settings = replace(composer.preset(options["preset"]), **options.get("set", {}))
        composition = composition_of(backbone, asked, options["regions"] == "given", composer.needs)
        run = composer.begin(composition, settings, share_of(backbone.schedule.steps))
        sizes |= {"edit": None if run.edit is leave else run.edit, "before": run.before}
        positive = composition.conditioning
    return backbone.decode_latent(ddim(backbone, positive, negative, (cell, cell), **sizes)).clamp(0, 1)


def composition_of(backbone: Backbone, asked: Wanted, given: bool, needs: Sequence[str] = ("texts",)) -> Composition:
    """The composition of a case, with its boxes or without, and with what a method needs of the objects' texts."""
    concepts = [
        Concept(text, mask_of(box) if given else None) for text, box in zip(asked.texts, asked.boxes, strict=True)
    ]
    branches = "branches" in needs
    beside = branches or "texts" in needs
    return compose(backbone, asked.prompt, concepts, asked.placeholders, texts=beside, branches=branches)


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Each figure's mean and interval over pictures, or over objects found; ``leak_matrix`` by number of concepts."""
    objects = [entry for row in rows for entry in row["objects"]]
    there = [entry for entry in objects if entry["found"]]
    values: dict[str, list[float]] = {
        "exact": [float(row["exact"]) for row in rows],
        **{f"exact_{count}": [float(row["exact"]) for row in rows if len(row["asked"]) == count] for count in COUNTS},
        "found": [float(entry["found"]) for entry in objects],
        "colours": [float(entry["colour"]) for entry in there if entry["colour"] is not None],
        "placed": [float(entry["placed"]) for entry in there],
        "leak": [float(entry["leak"]) for entry in there],
        "one": [float(row["one"]) for row in rows],
        "lost": [float(row["lost"]) for row in rows],
    }
    summary: dict[str, Any] = {name: interval(found, request.seed) if found else None for name, found in values.items()}
    answered = [row["objects"] for row in rows]
    counts = sorted({len(row) for row in answered})
    summary["leak_matrix"] = {str(count): leak_matrix(answered, count) for count in counts}
    summary["keeps_single_concepts"] = summary["lost"]["mean"] <= MOST_LOST
    return summary


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    summary, options = result["summary"], result["options"]
    rows = [[said, with_interval(summary[name])] for name, said in FIGURES.items()]
    ways = [options["method"], *(way for way in ("alike", "learnt") if options.get(way))]
    head = f"bench compose: {' '.join(ways)}, {result['cases']} cases, {result['split']} split, seed {result['seed']}"
    leaks = "".join(_matrix(int(count), matrix) for count, matrix in summary["leak_matrix"].items())
    return f"{head}; 95% intervals\n{aligned([['', 'found'], *rows])}\n{leaks}"


def _matrix(count: int, matrix: Sequence[Sequence[float | None]]) -> str:
    head = [f"of {count}: share of", *(f"in box {number}" for number in range(1, count + 1))]
    body = [
        [f"concept {number}", *("-" if share is None else f"{share:.2f}" for share in row)]
        for number, row in enumerate(matrix, 1)
    ]
    return aligned([head, *body]) + "\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench compose``."""
    add_common_arguments(parser, cases=96)
    parser.add_argument("--method", choices=[PLAIN, AREA, *METHODS], default=PLAIN, help="default: %(default)s")
    parser.add_argument("--preset", default="small", help="of the method; default: %(default)s")
    parser.add_argument("--regions", choices=("given", "found"), default="given", help="default: %(default)s")
    parser.add_argument("--alike", action="store_true", help="two of one kind in two colours")
    parser.add_argument("--learnt", action="store_true", help="tokens learnt from a picture, in place of names")
    add_settings_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    if args.alike and args.learnt:
        raise ValueError("--alike asks for colours by name, and --learnt for tokens without names; choose one of them")
    options: dict[str, Any] = {"method": args.method}
    if args.method in (PLAIN, AREA):
        if args.set or args.preset != "small" or args.regions != "given":
            raise ValueError(f"{args.method} has no settings, presets or regions to choose; name a --method that has")
    else:
        chosen = chosen_settings(args, METHODS[args.method].preset(args.preset))
        options |= {"preset": args.preset, "regions": args.regions} | ({"set": chosen} if chosen else {})
    options |= {way: True for way in ("alike", "learnt") if getattr(args, way)}
    return run_command(BENCH, args, options, CONTROLS)


def _found(summary: Mapping[str, Any]) -> float:
    return float(summary["found"]["mean"])


CONTROLS = (Control("untrained", "objects found, drawn by a model at random weights", _found, 0.1, untrained=True),)
BENCH = Bench("compose", 2, prepare, measure, figures, table, means)
