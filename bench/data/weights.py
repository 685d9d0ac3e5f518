"""``bench weights``: is a thing learnt better from a folder with wrong captions when its pictures have weights?

Each case is a folder of pictures whose captions all name one thing; in a fifth of them that is wrong, and another thing
is to be seen. A token is learnt from all of them alike, with the weights of Caption Noise, with adaptive weights, with
both, and, as the ceiling, from the right pictures alone. The judge says how often pictures drawn with the token show
the thing, and how alike they are to it.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ...core.backbone import Backbone
from ...core.data.caption_noise import CHECK
from ...core.learn.registry import METHODS
from ...core.localize.given_masks import localize_masks
from ...core.localize.parts.settings import SMALL_GRID
from ...core.sample_weights import RATE
from ...core.types import ConceptTokens, Source
from ...host.jobs.vision import picture_features
from ...lab.judge.judge import Judge, load_judge
from ..cases import SEEDS_PER_RUN, Case
from ..command import add_common_arguments, backbone_for, run_command
from ..drawing import draw
from ..harness import Bench, Request, Row
from ..learn.learn import on_cells
from ..summary import aligned, interval, means, with_interval
from .data import Encoders, noise_of
from .data import prepare as encoders_for
from .folders import PICTURES, WRONG, Folder, folder

DRAWS, TEMPLATE, NAME = 8, "a photo of {}", "1"
WAYS = {
    "all": "all pictures alike",
    "noise": "weights of Caption Noise",
    "adaptive": "adaptive weights",
    "both": "both",
    "right": "the right pictures alone",
}
FIGURES = {"found": "drawings that show the thing", "alike": "alike the thing, of 1"}
NOISE = {"flagged": "wrong captions flagged", "kept": "right captions kept"}


@dataclass(frozen=True, eq=False)
class Parts:
    """What all cases need."""

    backbone: Backbone
    judge: Judge
    encoders: Encoders


def prepare(request: Request) -> Parts:
    """The model, the judge, and the encoders of Caption Noise."""
    return Parts(backbone_for(request), load_judge(), encoders_for(request))


def measure(parts: Parts, request: Request, index: int) -> Row:
    """One folder, learnt from in every way."""
    own_seed = request.seed * SEEDS_PER_RUN + index
    given = folder(request.split, own_seed)
    seen = picture_features(parts.encoders.vision, torch.cat([case.picture for case in given.cases]))
    noise = noise_of(parts.encoders, seen, given.captions)
    wrong, flagged = torch.tensor(given.wrong), noise.noise >= CHECK
    row: Row = {"seed": own_seed, "thing": given.kind.name, "evident": float(noise.evident)}
    row |= {"flagged": float(flagged[wrong].float().mean()), "kept": float((~flagged)[~wrong].float().mean())}
    weights = {"noise": noise.weights().tolist(), "right": (~wrong).float().tolist()}
    weights["both"] = weights["noise"]
    for way in WAYS:
        rate = RATE if way in ("adaptive", "both") else 0.0
        tokens = learn(parts.backbone, given, request, weights.get(way, ()), rate, own_seed)
        row[way] = scores(parts, given, tokens, own_seed) | {"weights": tokens.metadata.get("picture_weights", "")}
    return row


def learn(
    backbone: Backbone, given: Folder, request: Request, weights: Sequence[float], rate: float, seed: int
) -> ConceptTokens:
    """The token of the folder's thing."""
    method = METHODS["conceptexpress"]
    settings = replace(method.preset("small"), start="rare", adaptive_rate=rate, **request.options.get("set", {}))
    sources = [_source(backbone, case, seed) for case in given.cases]
    first, more = sources[0], sources[1:]
    return method.learn(backbone, first.picture, first.concepts, settings, seed=seed, more=more, weights=weights)


def _source(backbone: Backbone, case: Case, seed: int) -> Source:
    masks = case.masks.float()
    return Source(case.picture, localize_masks(backbone, case.picture, masks, SMALL_GRID, seed, [NAME], "mask"))


def scores(parts: Parts, given: Folder, tokens: ConceptTokens, seed: int) -> dict[str, float]:
    """How well drawings with the token show the thing: all with the same seeds in every way."""
    judge, prompt = parts.judge, TEMPLATE.format(f"<{NAME}>")
    drawn = draw(parts.backbone, [prompt] * DRAWS, seed, tokens.placeholders())
    reading, first = judge.look(drawn), given.cases[0]
    source = judge.look(first.picture).describe(on_cells(first.masks))  # (1, D)
    found = [given.kind.name in names for names in judge.found(reading)]
    return {"found": sum(found) / DRAWS, "alike": float((reading.describe() @ source.T).mean())}


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Means with intervals over folders, of each way and of what it gains on learning from all alike."""
    summary: dict[str, Any] = {name: {"share": interval([row[name] for row in rows], request.seed)} for name in NOISE}
    for way in WAYS:
        summary[way] = {name: interval([row[way][name] for row in rows], request.seed) for name in FIGURES}
        gain = [row[way]["alike"] - row["all"]["alike"] for row in rows]
        summary[way]["gain"] = interval(gain, request.seed)
    return summary


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    summary = result["summary"]
    rows = [[said, *(with_interval(summary[way][name]) for name in (*FIGURES, "gain"))] for way, said in WAYS.items()]
    noise = [[said, with_interval(summary[name]["share"])] for name, said in NOISE.items()]
    head = f"bench weights: {result['cases']} folders of {PICTURES} pictures, {WRONG} captions wrong"
    columns = ["", *FIGURES.values(), "gain in likeness"]
    return f"{head}, {result['split']} split, seed {result['seed']}\n{aligned([columns, *rows])}\n{aligned(noise)}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench weights``."""
    add_common_arguments(parser, cases=4)
    parser.add_argument("--steps", type=int, default=0, help="of learning; 0 keeps the preset's (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    return run_command(BENCH, args, {"set": {"steps": args.steps}} if args.steps else {})


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The means."""
    return {name: means(group) for name, group in summary.items()}


BENCH = Bench("weights", 1, prepare, measure, figures, table, headline)
