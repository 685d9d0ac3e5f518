"""``bench segment``: whether a picture divided among the words that were found in it is divided better than among all.

A case is a set of scenes of one or two objects of the 48 kinds that the model knows, in any style. Which words each
picture shows is decided first (precision and recall), then each pixel goes to a word or to none; the mean over kinds,
and what is none, of IoU over the whole set stands beside that of the same maps with the full vocabulary and with the
true words.
"""

import argparse
import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.recognise.segment.conceive import ConceiveSettings, conceive
from ...core.recognise.segment.dense import LEAST, directions_of, word_shares
from ...host.jobs.paired_texts import word_features
from ...host.jobs.recognise.segmenting import place_words
from ...host.jobs.vision import picture_features
from ...lab.world.atlas import load_atlas
from ...lab.world.backgrounds import sample_background
from ...lab.world.scene import Look, SceneSettings, compose
from ...lab.world.styles import STYLES
from ...lab.world.words import world_words
from ..cases import SEEDS_PER_RUN, tensor_of
from ..command import add_common_arguments, run_command
from ..controls import Control
from ..drawing import SIDE
from ..explain.explain import Parts, prepare
from ..harness import Bench, Request, Row
from ..summary import aligned, interval, with_interval

PICTURES, PATTERNED = 24, 0.3
TEMPLATE = "a drawing of a {}"
SCORES = {
    "precision": "words, precision",
    "recall": "words, recall",
    "short": "mIoU, words found",
    "full": "mIoU, full vocabulary",
    "true": "mIoU, true words",
}


def make_scenes(split: str, index: int, seed: int, kinds: Sequence[str], pictures: int) -> tuple[Tensor, Tensor]:
    """Pictures (P, 3, H, W), and (P, H, W) the number of the kind at each pixel, -1 for none. The split decides the
    random numbers, so that sets of development and test share no scene."""
    rng = random.Random(f"segment:{split}:{seed * SEEDS_PER_RUN + index}")
    drawn, labels = [], []
    for _ in range(pictures):
        names = rng.sample(list(kinds), rng.choice((1, 2)))
        looks = [Look(name, rng.choice(STYLES), None, name) for name in names]
        settings = SceneSettings(size=(SIDE, SIDE), counts=(len(looks),))
        picture, objects = compose(rng, looks, sample_background(rng, PATTERNED), settings)
        drawn.append(tensor_of(picture))
        label = torch.full((SIDE, SIDE), -1)
        for thing in objects:
            label[torch.from_numpy(thing.mask)] = list(kinds).index(thing.name)
        labels.append(label)
    return torch.stack(drawn), torch.stack(labels)


def measure(parts: Parts, request: Request, index: int) -> Row:
    """One set of scenes."""
    options = request.options
    kinds = [kind.name for kind in load_atlas().of_split("train")]
    pictures, truth = make_scenes(request.split, index, request.seed, kinds, options.get("pictures", PICTURES))
    rest = [word for word in world_words() if word not in kinds]
    texts = word_features(parts.vision, parts.clip, [*kinds, *rest], 192, TEMPLATE)
    words, others = texts[: len(kinds)], texts[len(kinds) :]
    if options.get("shuffled"):
        words = words[torch.randperm(len(words), generator=torch.Generator().manual_seed(index))]
    found, _ = conceive(picture_features(parts.vision, pictures), words, others, ConceiveSettings())
    shown = torch.stack([(truth == kind).flatten(1).any(1) for kind in range(len(kinds))], 1)  # (P, V)
    maps = place_words(parts.vision, pictures, directions_of(words, others))
    hits = int((found & shown).sum())
    row = {"precision": hits / max(1, int(found.sum())), "recall": hits / int(shown.sum())}
    for name, present in (("short", found), ("full", torch.ones_like(found)), ("true", shown)):
        row[name] = mean_iou(label_of(word_shares(maps, present, (SIDE, SIDE))), truth)
    return {name: round(value, 4) for name, value in row.items()}


def label_of(shares: Tensor, threshold: float = LEAST) -> Tensor:
    """(P, H, W) the word with the greatest share (V, P, H, W) at each pixel, -1 where none is above the threshold."""
    best, at = shares.max(0)
    return torch.where(best > threshold, at, -1)


def mean_iou(labels: Tensor, truth: Tensor) -> float:
    """The mean over all labels that the truth (P, H, W) has of their IoU over all pictures."""
    scores = []
    for kind in truth.unique().tolist():
        given, wanted = labels == kind, truth == kind
        scores.append(float((given & wanted).sum() / (given | wanted).sum()))
    return sum(scores) / len(scores)


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Each score's mean over sets with an interval, and the gain over the full vocabulary."""
    found = {name: interval([row[name] for row in rows], request.seed) for name in SCORES}
    return found | {"gain": interval([row["short"] - row["full"] for row in rows], request.seed)}


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    head = f"bench segment: {result['cases']} {result['split']} sets of {PICTURES} scenes"
    titles = SCORES | {"gain": "gain over full"}
    return f"{head}\n{aligned([list(titles.values()), [with_interval(result['summary'][name]) for name in titles]])}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench segment``."""
    add_common_arguments(parser, cases=8)


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    return run_command(BENCH, args, {}, CONTROLS)


CONTROLS = (
    Control(
        "shuffled",
        "recall of words, with each word's place taken by another",
        lambda summary: float(summary["recall"]["mean"]),
        0.25,
        {"shuffled": True},
    ),
)


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The means."""
    return {name: summary[name]["mean"] for name in (*SCORES, "gain")}


BENCH = Bench("segment", 1, prepare, measure, figures, table, headline)
