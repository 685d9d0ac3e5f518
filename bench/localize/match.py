"""``bench match``: are the concepts of one picture found again in another?

Each case is two scenes of the same 2 to 4 objects, elsewhere and before another background, each with its true masks;
drawn in another style unless ``--same-style`` is given. Counted is the share of concepts that are paired with their
own object. Beside it stand the same assignment by mean colour, and chance.
"""

import argparse
import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.assignment import best_assignment
from ...core.backbone import Backbone
from ...core.localize.match import match
from ...core.localize.parts.neighbours import cell_colours
from ...core.masks.from_masks import concepts_from_masks
from ...core.types import Source
from ...lab.world.atlas import load_atlas
from ...lab.world.scene import sample_kinds
from ..cases import SEEDS_PER_RUN, Case, composed_case
from ..command import add_common_arguments, backbone_for, run_command
from ..controls import Control
from ..drawing import SIDE
from ..harness import Bench, Request, Row
from ..summary import aligned, interval, means, with_interval

COUNTS = (2, 3, 4)
SCORES = {
    "matched": "paired with their own object, by Match Concepts",
    "colour": "the same by mean colour",
    "chance": "by chance",
    "cosine": "how alike a pair is, -1..1",
}


def measure(backbone: Backbone, request: Request, index: int) -> Row:
    """One pair of pictures: the share of concepts paired rightly, by each way."""
    own_seed, count = request.seed * SEEDS_PER_RUN + index, COUNTS[index % len(COUNTS)]
    first, second = scene_pair(request.split, own_seed, count, same_style=request.options.get("same_style", False))
    found = match(backbone, first, second, own_seed)
    names = first.concepts.names
    by_colour = dict(best_assignment(-torch.cdist(mean_colours(first), mean_colours(second))))
    return {
        "seed": own_seed,
        "objects": count,
        "names": list(names),
        "matched": sum(now == then for now, then in zip(names, found.former, strict=True)) / count,
        "colour": sum(second.concepts.names[by_colour[at]] == name for at, name in enumerate(names)) / count,
        "chance": 1 / count,
        "cosine": float(found.cosines.mean()),
    }


def scene_pair(
    split: str, seed: int, count: int, *, same_style: bool, size: tuple[int, int] = (SIDE, SIDE)
) -> tuple[Source, Source]:
    """Two pictures of the same objects with their true masks; concepts are named after them, in another order each."""
    rng = random.Random(f"match {split} {seed}")
    kinds = sample_kinds(rng, split, count, unseen=False)
    styles = [rng.choice(load_atlas().styles)] * count
    first = source_of(composed_case(rng, kinds, styles, seed, size))
    if not same_style:
        styles = [rng.choice([style for style in load_atlas().styles if style != styles[0]])] * count
    order = rng.sample(range(count), count)
    second = [kinds[at] for at in order]
    return first, source_of(composed_case(rng, second, styles, seed, size))


def source_of(case: Case) -> Source:
    """A scene's true masks as concepts named after their objects, on a grid of eight pixels a cell."""
    size = (case.picture.shape[-2], case.picture.shape[-1])
    return Source(case.picture, concepts_from_masks(case.masks, size, (size[0] // 8, size[1] // 8), names=case.names))


def mean_colours(source: Source) -> Tensor:
    """(N, 3): the mean colour inside each mask."""
    shares = source.concepts.masks.flatten(1).float()
    return shares @ cell_colours(source.picture, source.concepts.grid) / shares.sum(1, keepdim=True)


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Means with intervals over pairs, of all and by the number of objects."""
    groups = {"all": rows} | {f"objects={count}": [row for row in rows if row["objects"] == count] for count in COUNTS}
    return {
        name: {"cases": len(group)} | {score: interval([row[score] for row in group], request.seed) for score in SCORES}
        for name, group in groups.items()
        if group
    }


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    summary = result["summary"]
    style = "the same style" if result["options"].get("same_style") else "another style"
    head = f"bench match: {result['cases']} pairs in {style}, {result['split']} split, seed {result['seed']}"
    rows = [[said, *(with_interval(group[score]) for group in summary.values())] for score, said in SCORES.items()]
    heading = ["share of concepts", *(f"{name} ({group['cases']})" for name, group in summary.items())]
    return f"{head}; 95% intervals\n{aligned([heading, *rows])}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench match``; multiples of 3 are balanced over the number of objects."""
    add_common_arguments(parser, cases=60)
    parser.add_argument("--same-style", action="store_true", help="draw the second picture in the first's style")


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    return run_command(BENCH, args, {"same_style": True} if args.same_style else {}, CONTROLS)


CONTROLS = (
    Control(
        "untrained",
        "paired rightly by a model at random weights",
        lambda summary: float(summary["all"]["matched"]["mean"]),
        0.6,
        untrained=True,
    ),
)


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Means over all pairs."""
    return means(summary["all"])


BENCH = Bench("match", 1, backbone_for, measure, figures, table, headline)
