"""``bench recognise --what dependencies``: whether dependencies that were planted are found, and no others.

A case is a world of tags: of eight kinds of objects two always stand together, and two of the four styles have their
own tint in nine of ten scenes; all else is drawn alike. How far each tag changes another is known from many draws. An
energy is fitted to captions, and to captions with a part of their words withheld. Of the
dependencies that Correct and Propagate lists, how many of those planted are there, and how many are there in truth;
and where one of a planted pair is corrected in captions that leave the other out, does the other follow, and how many
tags change that have nothing to do with it. Lint Concepts reads the same captions.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...core.recognise.captions.lint import lint
from ...core.recognise.energy.pairwise import Energy, dependencies, fit_energy
from ...host.jobs.recognise.correcting import MOST, MOVED, Correction, propagate
from ...lab.world.atlas import load_atlas
from ...lab.world.scene import TINTS
from ...lab.world.styles import STYLES
from ..cases import SEEDS_PER_RUN
from ..controls import Control
from ..harness import Bench, Request, Row
from ..summary import aligned, interval, with_interval

KINDS, OWN, WITHHELD = 8, 0.9, 0.3
FEW, MANY = 60, 240
DRAWS, ASKED, STRANGE = 40_000, 40, 0.03
"""Draws that the truth is counted from, captions that are corrected for each planted pair, and the change of a share
below which a tag has nothing to do with another."""
WAYS = {
    "few": "60 captions",
    "many": "240 captions",
    "withheld": "240 captions, three in ten words withheld",
}
SCORES = {
    "planted": "planted, listed",
    "real": "listed, real",
    "correlation": "correlation with the truth",
    "follows": "the other of a pair follows",
    "strangers": "unrelated tags that change",
}


@dataclass(frozen=True)
class World:
    """Tags, and which depend on each other.

    Attributes:
        kinds: of objects; the first two always stand together.
        own: a tint for each of two styles.
    """

    kinds: tuple[str, ...]
    own: Mapping[str, str]

    @cached_property
    def names(self) -> list[str]:
        return [*self.kinds, *STYLES, *TINTS]

    @cached_property
    def planted(self) -> list[tuple[int, int]]:
        """Pairs of tags that were planted."""
        styled = [(self.names.index(style), self.names.index(tint)) for style, tint in self.own.items()]
        return [(0, 1), *styled]

    def draw(self, rng: random.Random) -> tuple[list[str], str, str]:
        """The objects of a scene, its style and its tint."""
        first = rng.choice(self.kinds)
        if first in self.kinds[:2]:
            objects = list(self.kinds[:2])
        else:
            objects = [first] if rng.random() < 0.5 else rng.sample(self.kinds[2:], 2)
        style = rng.choice(list(STYLES))
        own = style in self.own and rng.random() < OWN
        return objects, style, self.own[style] if own else rng.choice(list(TINTS))

    def tags(self, scenes: Sequence[tuple[list[str], str, str]]) -> Tensor:
        """(P, K) bool."""
        at = {name: number for number, name in enumerate(self.names)}
        found = torch.zeros(len(scenes), len(at), dtype=torch.bool)
        for row, (objects, style, tint) in zip(found, scenes, strict=True):
            row[[at[word] for word in (*objects, style, tint)]] = True
        return found


def make_world(split: str, index: int, seed: int) -> tuple[World, random.Random]:
    """The index-th world of a run, and the random numbers that its scenes are drawn by."""
    rng = random.Random(f"dependencies:{split}:{seed * SEEDS_PER_RUN + index}")
    kinds = tuple(kind.name for kind in rng.sample(load_atlas().of_split("train"), KINDS))
    own = dict(zip(rng.sample(list(STYLES), 2), rng.sample(list(TINTS), 2), strict=True))
    return World(kinds, own), rng


def truth_of(tags: Tensor) -> Tensor:
    """(K, K) by how much the share of the column is greater in captions (P, K) with the row than in those without."""
    on = tags.float()
    with_it = on.T @ on / on.sum(0).clamp(min=1)[:, None]
    without = (1 - on).T @ on / (1 - on).sum(0).clamp(min=1)[:, None]
    return (with_it - without).fill_diagonal_(0)


def prepare(request: Request) -> None:
    """Nothing is needed: tags are drawn by code."""


def measure(_: None, request: Request, index: int) -> Row:
    """One world."""
    world, rng = make_world(request.split, index, request.seed)
    count = request.options.get("captions", MANY)
    tags = world.tags([world.draw(rng) for _ in range(count)])
    generator = torch.Generator().manual_seed(index)
    if request.options.get("shuffled"):
        columns = [column[torch.randperm(count, generator=generator)] for column in tags.T]
        tags = torch.stack(columns, 1)
    truth = truth_of(world.tags([world.draw(rng) for _ in range(DRAWS)]))
    asked = world.tags([world.draw(rng) for _ in range(DRAWS // 10)])
    kept = tags & (torch.rand(tags.shape, generator=generator) >= WITHHELD)
    energies = {"few": fit_energy(tags[:FEW]), "many": fit_energy(tags), "withheld": fit_energy(kept)}
    row: Row = {name: _judged(energy, world, truth, asked) for name, energy in energies.items()}
    return row | {"lint": _linted(world, tags)}


def _judged(energy: Energy, world: World, truth: Tensor, asked: Tensor) -> dict[str, float]:
    found = dependencies(energy)
    order = found.abs().flatten().argsort(descending=True, stable=True).tolist()[:MOST]
    listed = {divmod(at, len(found)) for at in order if float(found.flatten()[at].abs()) >= MOVED}
    wanted = {*world.planted, *((b, a) for a, b in world.planted)}
    apart = ~torch.eye(len(found), dtype=torch.bool)
    real = [float(truth[one].abs()) >= MOVED for one in listed]
    followed = [_followed(energy, truth, asked, *pair) for pair in sorted(wanted)]
    scores = {
        "planted": len(wanted & listed) / len(wanted),
        "real": sum(real) / max(1, len(real)),
        "correlation": float(torch.corrcoef(torch.stack([found[apart], truth[apart]]))[0, 1]),
        "follows": sum(one for one, _ in followed) / len(followed),
        "strangers": sum(one for _, one in followed) / len(followed),
    }
    return {name: round(value, 4) for name, value in scores.items()}


def _followed(energy: Energy, truth: Tensor, asked: Tensor, given: int, other: int) -> tuple[float, float]:
    """How often a tag of captions, which leave it out, follows where the one that it goes with is added, and how many
    tags change that have nothing to do with that one."""
    tags = asked[asked[:, given] & asked[:, other]][:ASKED].clone()
    tags[:, [given, other]] = False
    before, after = propagate(energy, tags, [Correction(number, (given,), ()) for number in range(len(tags))])
    strange = (truth[given].abs() < STRANGE).nonzero()[:, 0]
    strange = strange[(strange != given) & (strange != other)]
    moved = (after - before)[:, strange].abs() >= MOVED
    return float((after[:, other] > 0.5).float().mean()), float(moved.float().mean())


def _linted(world: World, tags: Tensor) -> dict[str, int]:
    """Whether the pair that always stands together is named, and how many others are."""
    together = lint(tags).together
    named = world.planted[0] in together
    return {"named": int(named), "others": len(together) - named}


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Each score's mean over worlds with an interval, by what was read."""
    found: dict[str, Any] = {
        way: {name: interval([row[way][name] for row in rows], request.seed) for name in SCORES} for way in WAYS
    }
    return found | {"lint": {name: sum(row["lint"][name] for row in rows) for name in ("named", "others")}}


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    held = result["summary"]
    rows = [[said, *(with_interval(held[way][name]) for name in SCORES)] for way, said in WAYS.items()]
    head = f"bench recognise, dependencies: {result['cases']} {result['split']} worlds"
    lint_line = f"always together, named by Lint Concepts: {held['lint']['named']}, others: {held['lint']['others']}"
    return f"{head}\n{aligned([['', *SCORES.values()], *rows])}\n{lint_line}\n"


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The means."""
    return {way: {name: summary[way][name]["mean"] for name in SCORES} for way in WAYS}


CONTROLS = (
    Control(
        "shuffled",
        "planted dependencies listed, with tags that go with nothing",
        lambda summary: float(summary["many"]["planted"]["mean"]),
        0.3,
        {"shuffled": True},
    ),
)
BENCH = Bench("recognise_dependencies", 1, prepare, measure, figures, table, headline)
