"""``bench recognise --what corrections``: how much is right after one concept was fixed.

A case is a folder of one object a scene, in which three of four objects of a kind have the kind's own style and tint
and the others any. An energy is fitted to half of it: the tags, and what a ridge regression of the tower's features
says of each, leaving pictures out. In the other half concepts are read from pictures alone; where some are wrong, the
wrong one that the energy is surest of is fixed. Beside the share of the *other* concepts that are right then stands
what it was before, and the same of an energy without couplings, where only the classes exclude one another.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.explain.probe import ridge
from ...core.recognise.captions.evidence import left_out
from ...core.recognise.energy.pairwise import FREE, Energy, EnergySettings, fit_energy, infer
from ...host.jobs.vision import picture_features
from ...lab.world.atlas import load_atlas
from ...lab.world.backgrounds import sample_background
from ...lab.world.scene import TINTS, Look, SceneSettings, compose
from ...lab.world.styles import STYLES
from ..cases import SEEDS_PER_RUN, tensor_of
from ..controls import Control
from ..drawing import SIDE
from ..explain.explain import Parts, prepare
from ..harness import Bench, Request, Row
from ..summary import aligned, interval, with_interval

PICTURES, KINDS, OWN = 240, 8, 0.75
SCORES = {
    "right": "concepts right",
    "class": "class right",
    "others_before": "others right, before",
    "others": "others right, after",
    "alone": "others right, after, nothing coupled",
    "class_before": "class right, nothing coupled",
    "class_after": "class right, style and tint fixed",
    "wrong": "share with something wrong",
}

GAINS = {"gain": "gain of the others", "coupled": "of it by couplings"}


def make_related(split: str, index: int, seed: int, pictures: int) -> tuple[Tensor, Tensor, list[str], int]:
    """Pictures (P, 3, H, W), tags (P, K) bool, their names, and how many of the first are the classes."""
    rng = random.Random(f"corrections:{split}:{seed * SEEDS_PER_RUN + index}")
    kinds = [kind.name for kind in rng.sample(load_atlas().of_split("train"), KINDS)]
    tints = list(TINTS)
    own = {kind: (rng.choice(STYLES), rng.choice(tints)) for kind in kinds}
    names = [*kinds, *STYLES, *tints]
    drawn, tags = [], torch.zeros(pictures, len(names), dtype=torch.bool)
    for number in range(pictures):
        kind = rng.choice(kinds)
        style, tint = own[kind] if rng.random() < OWN else (rng.choice(STYLES), rng.choice(tints))
        settings = SceneSettings(size=(SIDE, SIDE), counts=(1,))
        picture, _ = compose(rng, [Look(kind, style, tint, kind)], sample_background(rng, 0.3), settings)
        drawn.append(tensor_of(picture))
        tags[number, [names.index(word) for word in (kind, style, tint)]] = True
    return torch.stack(drawn), tags, names, len(kinds)


def measure(parts: Parts, request: Request, index: int) -> Row:
    """One folder."""
    options = request.options
    pictures, tags, _, kinds = make_related(request.split, index, request.seed, options.get("pictures", PICTURES))
    seen, half = picture_features(parts.vision, pictures), len(tags) // 2
    learnt, asked = tags[:half], tags[half:]
    if options.get("shuffled"):
        learnt = _apart(learnt, kinds, torch.Generator().manual_seed(index))
    evidence = _odds(left_out(seen[:half], learnt))
    energy = fit_energy(learnt, evidence, range(kinds))
    apart = fit_energy(learnt, evidence, range(kinds), EnergySettings(ridge=1e6))
    said = torch.stack([seen[half:] @ w - (seen[:half] @ w).mean() + m for w, m in _probes(seen[:half], learnt)], 1)
    return {name: round(value, 4) for name, value in _fixed(energy, apart, _odds(said), asked, kinds).items()}


def _apart(tags: Tensor, kinds: int, generator: torch.Generator) -> Tensor:
    """Tags (P, K) that go with nothing: the classes, of which each picture keeps one, and every other tag in an order
    of its own."""
    orders = [torch.randperm(len(tags), generator=generator) for _ in range(1 + tags.shape[1] - kinds)]
    others = [tags[order, column] for order, column in zip(orders[1:], range(kinds, tags.shape[1]), strict=True)]
    return torch.cat([tags[orders[0], :kinds], torch.stack(others, 1)], 1)


def _probes(seen: Tensor, tags: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(ridge(seen, tags[:, k]), tags[:, k].float().mean()) for k in range(tags.shape[1])]


def _odds(shares: Tensor) -> Tensor:
    """What regressions to 0 and 1 say, around 0."""
    return 4 * shares - 2


def _fixed(energy: Energy, apart: Energy, said: Tensor, truth: Tensor, kinds: int) -> Row:
    free = torch.full_like(said, FREE)
    found = infer(energy, free, said)
    right = (found > 0.5) == truth
    wrong = (~right).any(1).nonzero()[:, 0]
    held, others = free.clone(), torch.ones_like(right)
    for picture in wrong.tolist():
        sure = (found[picture] - truth[picture].float()).abs().masked_fill(right[picture], -1)
        at = int(sure.argmax())
        held[picture, at], others[picture, at] = float(truth[picture, at]), False
    after = infer(energy, held, said)
    alone = infer(apart, held, said)
    before = infer(apart, free, said)
    wanted = truth[:, :kinds].float().argmax(1)
    looks = free.clone()
    looks[:, kinds:] = truth[:, kinds:].float()
    corrected = infer(energy, looks, said)[:, :kinds].argmax(1)
    kept = others[wrong]

    def share(values: Tensor) -> float:
        return float(((values[wrong] > 0.5) == truth[wrong])[kept].float().mean())

    return {
        "right": float(right.float().mean()),
        "class": float((found[:, :kinds].argmax(1) == wanted).float().mean()),
        "others_before": share(found),
        "others": share(after),
        "alone": share(alone),
        "class_before": float((before[:, :kinds].argmax(1) == wanted).float().mean()),
        "class_after": float((corrected == wanted).float().mean()),
        "wrong": len(wrong) / len(truth),
    }


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Each score's mean over folders with an interval, and what one fixed concept gains for the others."""
    found = {name: interval([row[name] for row in rows], request.seed) for name in SCORES}
    gain, coupled = ([row["others"] - row[name] for row in rows] for name in ("others_before", "alone"))
    return found | {"gain": interval(gain, request.seed), "coupled": interval(coupled, request.seed)}


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    head = f"bench recognise, corrections: {result['cases']} {result['split']} folders of {PICTURES} scenes"
    said = SCORES | GAINS
    return f"{head}\n{aligned([[said[name], with_interval(result['summary'][name])] for name in said])}\n"


CONTROLS = (
    Control(
        "shuffled",
        "gain of the others by couplings, with tags that go with nothing",
        lambda summary: float(summary["coupled"]["mean"]),
        0.003,
        {"shuffled": True},
    ),
)


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The means."""
    return {name: summary[name]["mean"] for name in (*SCORES, *GAINS)}


BENCH = Bench("recognise_corrections", 2, prepare, measure, figures, table, headline)
