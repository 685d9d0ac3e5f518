"""``bench score``: can Score Concepts, with the lab's own picture encoder, tell objects apart at all?

Nothing is learnt or drawn: in place of pictures of a token stand true pictures of the same object, so that this is the
ceiling for scores with this encoder. Each case is a set of 40 objects: their sources, cut out of scenes of two by their
true masks, are the candidates, and each object is shown alone in three other scenes. Sources are made in every way the
node offers.
"""

import argparse
import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..core.evaluate.prototypes import Prototypes
from ..core.evaluate.scores import ConceptScores, score_concepts
from ..core.evaluate.sources import GROUNDS, masked_source
from ..host.jobs.vision import picture_features
from ..lab.model.image_tower import ImageTower
from ..lab.model.vision import LabVision, load_vision
from ..lab.world.atlas import ObjectKind, load_atlas
from ..lab.world.scene import sample_kinds
from .cases import SEEDS_PER_RUN, Case, composed_case
from .command import add_common_arguments, run_command
from .controls import Control
from .drawing import SIDE
from .harness import Bench, Request, Row
from .summary import aligned, interval, means, with_interval

OBJECTS, PICTURES = 40, 3
SOURCES = tuple(f"{form}, {ground}" for form in ("whole", "cut out") for ground in GROUNDS)
SCORES = {
    "sim_i": "SIM^I",
    "other": "alike any other object",
    "nearest": "the other it is most like",
    "acc1": "ACC^1",
    "acc3": "ACC^3",
    "chance": "guessing",
}


def prepare(request: Request) -> LabVision:
    """The picture encoder that ships, or one at random weights."""
    if request.model:
        raise ValueError("bench score looks through the picture encoder that ships; --model has no effect on it")
    if not request.untrained:
        return load_vision()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LabVision(ImageTower().eval())


def measure(vision: LabVision, request: Request, index: int) -> Row:
    """One set of objects: the means over them, for every way of making sources."""
    own_seed = request.seed * SEEDS_PER_RUN + index
    scenes, alone = pictures_of(request.split, own_seed)
    names = [name for scene in scenes for name in scene.names]
    features = picture_features(vision, torch.cat([case.picture for case in alone])).unflatten(0, (-1, PICTURES))
    if request.options.get("permuted"):
        features = features.roll(1, 0)
    return {"seed": own_seed, "names": names} | {
        source: _means(_scores(names, features, Prototypes(tuple(names), _sources(vision, scenes, source))))
        for source in SOURCES
    }


def pictures_of(split: str, seed: int) -> tuple[list[Case], list[Case]]:
    """Twenty scenes of two objects, all different; and three scenes of each of the 40 alone, in the same order."""
    rng = random.Random(f"score {split} {seed}")
    kinds = sample_kinds(rng, split, OBJECTS, unseen=False)
    pairs = [_scene(rng, kinds[at : at + 2], seed) for at in range(0, OBJECTS, 2)]
    shown = {name: at for at, name in enumerate(name for case in pairs for name in case.names)}
    ordered = sorted(kinds, key=lambda kind: shown[kind.name])
    return pairs, [_scene(rng, [kind], seed) for kind in ordered for _ in range(PICTURES)]


def _scene(rng: random.Random, kinds: Sequence[ObjectKind], seed: int) -> Case:
    return composed_case(rng, kinds, [rng.choice(load_atlas().styles)] * len(kinds), seed, (SIDE, SIDE))


def _sources(vision: LabVision, scenes: Sequence[Case], source: str) -> Tensor:
    """(40, D) features of every object's source."""
    form, ground = source.split(", ")
    alone = [
        picture_features(vision, masked_source(case.picture, mask, ground, crop=form == "cut out"))
        for case in scenes
        for mask in case.masks
    ]
    return torch.cat(alone)


def _scores(names: Sequence[str], features: Tensor, prototypes: Prototypes) -> ConceptScores:
    return score_concepts(names, features, prototypes, features[0], prototypes.features[:1])  # no joint pictures here


def _means(scores: ConceptScores) -> dict[str, float]:
    count = len(scores.candidates)
    every, own = scores.similarity.mean(), scores.own.mean()
    return {
        "sim_i": float(own),
        "other": float((every * count - own) / (count - 1)),
        "nearest": sum(likeness for _, likeness in scores.nearest_other()) / len(scores.names),
        "acc1": float(scores.accuracy(1).mean()),
        "acc3": float(scores.accuracy(3).mean()),
        "chance": scores.chance(1),
    }


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Means with intervals over sets, for every way of making sources."""
    return {
        source: {"cases": len(rows)}
        | {score: interval([row[source][score] for row in rows], request.seed) for score in SCORES}
        for source in SOURCES
    }


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    rows = [[source, *(with_interval(group[score]) for score in SCORES)] for source, group in result["summary"].items()]
    head = f"bench score: {result['cases']} sets of {OBJECTS} objects, {result['split']} split, seed {result['seed']}"
    return f"{head}; 95% intervals\n{aligned([['source', *SCORES.values()], *rows])}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench score``."""
    add_common_arguments(parser, cases=8)


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    return run_command(BENCH, args, {}, CONTROLS)


def _best_acc1(summary: Mapping[str, Any]) -> float:
    return max(float(group["acc1"]["mean"]) for group in summary.values())


CONTROLS = (
    Control("untrained", "best ACC^1 of an encoder at random weights", _best_acc1, 0.15, untrained=True),
    Control("permuted", "best ACC^1 with the names of other objects", _best_acc1, 0.1, {"permuted": True}),
)


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Every way's means."""
    return {source: means(group) for source, group in summary.items()}


BENCH = Bench("score", 1, prepare, measure, figures, table, headline)
