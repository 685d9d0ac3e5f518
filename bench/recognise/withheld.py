"""``bench recognise --what captions``: words that captions leave out, restored; entangled tags, found.

A case is a folder of scenes whose captions mention their objects, styles and colours, of which three in ten are
withheld. Precision and recall of what Complete Captions adds; the share of withheld words that captions of similar
pictures mention at all; and precision and recall of the paper's rule alone, which adds one concept of every cluster.
Then a tag is given to all captions with one of the words: does Lint Concepts name the pair, and how many others?
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.evaluate.similarity import unit
from ...core.recognise.captions.complete import Addition, CompleteSettings, complete
from ...core.recognise.captions.lint import lint
from ...host.jobs.paired_texts import word_features
from ...host.jobs.vision import picture_features, window_features
from ..controls import Control
from ..explain.explain import Parts, prepare
from ..explain.folders import make_folder
from ..harness import Bench, Request, Row
from ..summary import aligned, interval, with_interval

PICTURES, WITHHELD, LOOSE = 60, 0.3, 0.4
WAYS = {
    "default": CompleteSettings(),
    "loose": CompleteSettings(probability=LOOSE),
    "paper": CompleteSettings(probability=0.0, most=1000),
}
SAID = {
    "default": "probability 0.5",
    "loose": "probability 0.4",
    "paper": "the paper's rule alone",
}


def measure(parts: Parts, request: Request, index: int) -> Row:
    """One folder."""
    options = request.options
    folder = make_folder(request.split, index, request.seed, options.get("pictures", PICTURES))
    truth = torch.stack([folder.present(factor) for factor in folder.factors], 1)  # (P, K)
    generator = torch.Generator().manual_seed(index)
    gone = truth & (torch.rand(truth.shape, generator=generator) < WITHHELD)
    pictures = folder.pictures
    if options.get("shuffled"):
        pictures = pictures[torch.randperm(len(pictures), generator=generator)]
    seen = picture_features(parts.vision, pictures)
    known = word_features(parts.vision, parts.clip, [word for _, word in folder.factors], seen.shape[1])
    windows = window_features(parts.vision, pictures) if options.get("windows", True) else None
    row: Row = {"withheld": int(gone.sum()), "near": _near(seen, truth & ~gone, gone)}
    for name, settings in WAYS.items():
        row[name] = _counted(complete(seen, known, truth & ~gone, settings, windows=windows), gone)
    return row | _linted(truth, generator)


def _near(seen: Tensor, mentioned: Tensor, gone: Tensor) -> float:
    """The share of withheld words that a caption of a near picture mentions."""
    alike = (unit(seen) @ unit(seen).T).fill_diagonal_(-torch.inf)
    near = alike.topk(min(CompleteSettings().neighbours, len(seen) - 1), 1).indices
    return round(float(mentioned[near].any(1)[gone].float().mean()), 4)


def _counted(added: Sequence[Sequence[Addition]], gone: Tensor) -> dict[str, int]:
    right = [bool(gone[number, one.concept]) for number, of in enumerate(added) for one in of]
    return {"added": len(right), "right": sum(right)}


def _linted(truth: Tensor, generator: torch.Generator) -> dict[str, Any]:
    """Whether a tag that always stands with a word is named, and how many other pairs are."""
    frequent = (truth.sum(0) >= 5).nonzero()[:, 0]
    chosen = int(frequent[torch.randint(len(frequent), (1,), generator=generator)])
    found = lint(torch.cat([truth, truth[:, chosen : chosen + 1]], 1))
    planted = (chosen, truth.shape[1])
    return {"planted": planted in found.together, "others": len(found.together) - (planted in found.together)}


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Precision and recall over all folders' words, with intervals of both over folders."""
    held: dict[str, Any] = {"near": interval([row["near"] for row in rows], request.seed)}
    for name in WAYS:
        added, right = (sum(row[name][part] for row in rows) for part in ("added", "right"))
        recall = interval([row[name]["right"] / max(1, row["withheld"]) for row in rows], request.seed)
        precision = interval([row[name]["right"] / max(1, row[name]["added"]) for row in rows], request.seed)
        joined = {"precision": right / max(1, added), "recall": right / max(1, sum(row["withheld"] for row in rows))}
        counts = {"added": added, "right": right} | {part: round(value, 4) for part, value in joined.items()}
        held[name] = counts | {"precision_by_folder": precision, "recall_by_folder": recall}
    planted = sum(row["planted"] for row in rows)
    return held | {"planted": planted, "others": sum(row["others"] for row in rows), "folders": len(rows)}


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    held = result["summary"]
    rows = [
        [SAID[name], str(held[name]["added"]), f"{held[name]['precision']:.3f}", f"{held[name]['recall']:.3f}"]
        for name in WAYS
    ]
    head = f"bench recognise captions: {result['cases']} {result['split']} folders of {PICTURES} scenes"
    near = f"withheld words that captions of near pictures mention: {with_interval(held['near'])}"
    lint_line = f"planted pairs named: {held['planted']} of {held['folders']}, others named: {held['others']}"
    return f"{head}\n{aligned([['', 'added', 'precision', 'recall'], *rows])}\n{near}\n{lint_line}\n"


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Precision and recall."""
    return {name: {part: summary[name][part] for part in ("precision", "recall")} for name in WAYS}


def _precision(summary: Mapping[str, Any]) -> float:
    return float(summary["default"]["precision"])


CONTROLS = (Control("shuffled", "precision with the captions of other pictures", _precision, 0.3, {"shuffled": True}),)
BENCH = Bench("recognise_captions", 1, prepare, measure, figures, table, headline)
