"""``bench compose``: several concepts, each with its own colour and place, in one picture.

Each case asks for two, three or four objects in turn, each in a colour and in a box of its own. The judge says which
objects the picture shows, in which colours, and where. ``--method plain`` draws the prompt alone.
"""

import argparse
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..core.backbone import Backbone
from ..core.compose.composer import leave, share_of
from ..core.compose.composition import Composition, Concept, compose
from ..core.compose.registry import METHODS
from ..core.sampling import ddim
from ..lab.judge.judge import Judge, Reading, load_judge
from ..lab.judge.scenes import COLOURS, colour_index
from ..lab.world.atlas import ObjectKind, load_atlas
from ..lab.world.captions import Phrase
from ..lab.world.scene import sample_kinds
from .cases import SEEDS_PER_RUN
from .command import add_common_arguments, add_settings_argument, backbone_for, chosen_settings, run_command
from .controls import Control
from .drawing import GUIDANCE, SIDE, STEPS, unconditional
from .harness import Bench, Request, Row
from .summary import aligned, interval, means, with_interval

PLAIN = "plain"
COUNTS = (2, 3, 4)
CELLS = 16  # of the boxes, along a side
BOXES: Mapping[int, tuple[tuple[tuple[int, int, int, int], ...], ...]] = {
    1: (((0, 0, 16, 16),),),
    2: (((0, 0, 16, 8), (0, 8, 16, 16)), ((0, 0, 8, 16), (8, 0, 16, 16))),
    3: (((0, 0, 8, 8), (0, 8, 8, 16), (8, 0, 16, 16)), ((0, 0, 8, 16), (8, 0, 16, 8), (8, 8, 16, 16))),
    4: (((0, 0, 8, 8), (0, 8, 8, 16), (8, 0, 16, 8), (8, 8, 16, 16)),),
}
"""Number of concepts to layouts, each a box (top, left, bottom, right) for every concept."""

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
}


@dataclass(frozen=True)
class Wanted:
    """What a picture shall show: objects, their colours and boxes."""

    kinds: tuple[ObjectKind, ...]
    colours: tuple[str, ...]
    boxes: tuple[tuple[int, int, int, int], ...]

    @property
    def texts(self) -> list[str]:
        """Each object with its colour."""
        return [str(Phrase(kind.name, colour=colour)) for kind, colour in zip(self.kinds, self.colours, strict=True)]

    @property
    def prompt(self) -> str:
        """All objects in one sentence."""
        return f"a photo of {' and '.join(self.texts)}"


def wanted(split: str, seed: int, index: int) -> tuple[Wanted, Wanted]:
    """The objects of a case, and one object alone."""
    rng = random.Random(f"compose:{split}:{seed}:{index}")
    trained = load_atlas().of_split("train")
    count = COUNTS[index % len(COUNTS)]
    kinds = sample_kinds(rng, split, count, unseen=False) if count < 4 else rng.sample(trained, count)
    boxes = list(rng.choice(BOXES[count]))
    rng.shuffle(boxes)
    several = Wanted(tuple(kinds), tuple(rng.sample(COLOURS, count)), tuple(boxes))
    return several, Wanted((rng.choice(trained),), (rng.choice(COLOURS),), BOXES[1][0])


def prepare(request: Request) -> tuple[Backbone, Judge]:
    """The model and the judge."""
    return backbone_for(request), load_judge()


@torch.no_grad()
def measure(prepared: tuple[Backbone, Judge], request: Request, index: int) -> Row:
    """One case: what was asked, and what the judge sees."""
    backbone, judge = prepared
    own_seed = request.seed * SEEDS_PER_RUN + index
    several, one = wanted(request.split, request.seed, index)
    row: Row = {"seed": own_seed, "prompt": several.prompt}
    picture = draw(backbone, several, request.options, own_seed)
    alone = draw(backbone, one, request.options, own_seed)
    reading = judge.look(torch.cat([picture, alone]))
    found = judge.found(reading)
    names = [kind.name for kind in several.kinds]
    row |= {"asked": names, "found": sorted(found[0]), "exact": found[0] == set(names)}
    row["objects"] = [answer(judge, reading, several, number, found[0]) for number in range(len(names))]
    return row | {"one": found[1] == {one.kinds[0].name}}


def draw(backbone: Backbone, asked: Wanted, options: Mapping[str, Any], seed: int) -> Tensor:
    """The picture (1, 3, H, W) by the way of composing that the options name."""
    cell = SIDE // backbone.latent_downscale
    sizes = {"steps": STEPS, "guidance": GUIDANCE, "seed": [seed]}
    if options["method"] == PLAIN:
        latent = ddim(backbone, backbone.encode_text([asked.prompt]), unconditional(backbone), (cell, cell), **sizes)
        return backbone.decode_latent(latent).clamp(0, 1)
    composer = METHODS[options["method"]]
    settings = replace(composer.preset(options["preset"]), **options.get("set", {}))
    composition = composition_of(backbone, asked, options["regions"] == "given", composer.needs)
    run = composer.begin(composition, settings, share_of(backbone.schedule.steps))
    steps = {"edit": None if run.edit is leave else run.edit, "before": run.before}
    latent = ddim(backbone, composition.conditioning, unconditional(backbone), (cell, cell), **steps, **sizes)
    return backbone.decode_latent(latent).clamp(0, 1)


def composition_of(backbone: Backbone, asked: Wanted, given: bool, needs: Sequence[str] = ("texts",)) -> Composition:
    """The composition of a case, with its boxes or without, and with what a method needs of the objects' texts."""
    concepts = [
        Concept(text, mask_of(box) if given else None) for text, box in zip(asked.texts, asked.boxes, strict=True)
    ]
    branches = "branches" in needs
    return compose(backbone, asked.prompt, concepts, texts=branches or "texts" in needs, branches=branches)


def mask_of(box: tuple[int, int, int, int]) -> Tensor:
    """(16, 16) of ones inside a box."""
    top, left, bottom, right = box
    mask = torch.zeros(CELLS, CELLS)
    mask[top:bottom, left:right] = 1
    return mask


def answer(judge: Judge, reading: Reading, asked: Wanted, number: int, found: frozenset[str]) -> dict[str, Any]:
    """One object: whether it is found, and if so whether its colour and place are its own, and how much of it lies in
    the boxes of others."""
    kind = asked.kinds[number]
    if kind.name not in found:
        return {"found": False}
    index = judge.index(kind.name)
    colour = int(reading.colour_of(index)[0].argmax()) == colour_index(asked.colours[number])
    down, across = (float(share) * CELLS for share in reading.middle_of(index)[0])
    top, left, bottom, right = asked.boxes[number]
    cells = (reading.objects[0].argmax(0) == index).float()  # (h, w)
    boxes = torch.stack([mask_of(box) for box in asked.boxes])
    boxes = torch.nn.functional.interpolate(boxes[None], size=cells.shape, mode="area")[0]
    inside = (boxes * cells).sum((1, 2))
    others = float(inside.sum() - inside[number]) / max(float(cells.sum()), 1.0)
    return {
        "found": True,
        "colour": colour,
        "placed": top <= down <= bottom and left <= across <= right,
        "leak": round(others, 4),
    }


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Each figure's mean and interval over pictures, or over objects found."""
    objects = [entry for row in rows for entry in row["objects"]]
    there = [entry for entry in objects if entry["found"]]
    values: dict[str, list[float]] = {
        "exact": [float(row["exact"]) for row in rows],
        **{f"exact_{count}": [float(row["exact"]) for row in rows if len(row["asked"]) == count] for count in COUNTS},
        "found": [float(entry["found"]) for entry in objects],
        "colours": [float(entry["colour"]) for entry in there],
        "placed": [float(entry["placed"]) for entry in there],
        "leak": [float(entry["leak"]) for entry in there],
        "one": [float(row["one"]) for row in rows],
    }
    return {name: interval(found, request.seed) if found else None for name, found in values.items()}


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    rows = [[said, with_interval(result["summary"][name])] for name, said in FIGURES.items()]
    method = result["options"]["method"]
    head = f"bench compose: {method}, {result['cases']} cases, {result['split']} split, seed {result['seed']}"
    return f"{head}; 95% intervals\n{aligned([['', 'found'], *rows])}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench compose``."""
    add_common_arguments(parser, cases=96)
    parser.add_argument("--method", choices=[PLAIN, *METHODS], default=PLAIN, help="default: %(default)s")
    parser.add_argument("--preset", default="small", help="of the method; default: %(default)s")
    parser.add_argument("--regions", choices=("given", "found"), default="given", help="default: %(default)s")
    add_settings_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    options: dict[str, Any] = {"method": args.method}
    if args.method != PLAIN:
        chosen = chosen_settings(args, METHODS[args.method].preset(args.preset))
        options |= {"preset": args.preset, "regions": args.regions} | ({"set": chosen} if chosen else {})
    return run_command(BENCH, args, options, CONTROLS)


def _found(summary: Mapping[str, Any]) -> float:
    return float(summary["found"]["mean"])


CONTROLS = (Control("untrained", "objects found, drawn by a model at random weights", _found, 0.1, untrained=True),)
BENCH = Bench("compose", 1, prepare, measure, figures, table, means)
