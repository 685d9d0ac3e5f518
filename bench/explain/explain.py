"""``bench explain``: whether ingredients that were found unasked are what the pictures are made of.

A case is a folder of scenes with known objects, styles and colours. Ingredients are found in one half of it. For each
factor the best ingredient is chosen on that half with the answers at hand, and scored on the other half: AUROC and F1
of whether a picture has the factor (by the largest code of its positions), and IoU of where it is. Beside it stands a
plain linear probe of the same activations, a ridge regression fitted to the answers of the first half. ``--sweep`` asks
that probe of every layer.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core.backbone import Backbone
from ...core.explain.activations import Activations
from ...core.explain.bank import ConceptCodes
from ...core.explain.parts.measures import hoyer
from ...core.explain.probe import auroc, enough, pooled, ridge
from ...core.explain.recording import record_denoiser
from ...core.explain.registry import METHODS, encode
from ...core.explain.separability import separability
from ...core.settings import read_settings
from ...host.adapters import backbone_of
from ...host.jobs.explain.ingredients import make_gallery, named
from ...host.jobs.vision import record_encoder
from ...lab.model.vision import LabVision, load_vision
from ...lab.world.words import world_words
from ..command import add_common_arguments, load_parts, run_command
from ..controls import Control
from ..harness import Bench, Request, Row
from ..summary import aligned, interval, with_interval
from .folders import KINDS, PICTURES, Folder, make_folder
from .places import THRESHOLDS, coarse, iou, joined, places
from .sweep import BENCH as SWEEP

SOURCES = ("denoiser", "tower")
COUNT = 64
SCORES = {
    "auroc": "AUROC",
    "f1": "F1",
    "iou": "IoU",
    "iou_place": "IoU, best of place",
    "iou_edges": "the same, along edges",
    "iou_joined": "up to three joined",
    "probe": "AUROC, probe",
    "name": "named right",
}
MEANS = ("explained", "stability", "sparsity", "prevalence", "separability", "separability_numbers")


@dataclass(frozen=True, eq=False)
class Parts:
    """What all cases need."""

    backbone: Backbone
    clip: Any
    vision: LabVision


def prepare(request: Request) -> Parts:
    """The model and the image tower."""
    handles = load_parts(Path(request.model) if request.model else None, request.untrained)
    return Parts(backbone_of(*handles), handles[1], load_vision())


def settings_of(options: Mapping[str, Any]) -> Any:
    """The settings of the method that options name. Raises ``ValueError`` for one that it does not have."""
    method = METHODS[options["method"]]
    chosen = method.preset(options.get("preset", "small"))
    return type(chosen)(**{**vars(chosen), **read_settings(method.name, options.get("set", ()), chosen)})


def measure(parts: Parts, request: Request, index: int) -> Row:
    """One folder: its figures by factor, what the ingredients explain, and how stable and sparse they are."""
    options = request.options
    folder = make_folder(request.split, index, request.seed, options.get("pictures", PICTURES))
    half = len(folder.pictures) // 2
    activations = record(parts, folder.pictures, options)
    first, second = activations.part(slice(half)), activations.part(slice(half, None))
    settings, count = settings_of(options), options.get("count", COUNT)
    bank = METHODS[options["method"]].bank(first, count, settings, seed=index, seeds=options.get("seeds", 3))
    learnt, tested = encode(bank, first), encode(bank, second)
    ahead, behind = folder.part(slice(half)), folder.part(slice(half, None))
    answers = _shuffled(ahead, request.seed) if options.get("shuffled") else ahead
    names = _names(parts, learnt, ahead) if options.get("names", True) else [""] * len(bank)
    return {
        "factors": _factors(learnt, tested, answers, behind, pooled(first.rows), pooled(second.rows), names),
        "explained": float(bank.metadata["explained"]),
        "stability": round(float(bank.stability.mean()), 4),
        "sparsity": round(float(hoyer(tested.values.flatten(0, 1)).mean()), 4),
        "prevalence": round(float(tested.prevalence().mean()), 4),
        **_separable(learnt, tested, first, second, answers, behind),
        "site": bank.origin.site,
    }


def record(parts: Parts, pictures: Tensor, options: Mapping[str, Any]) -> Activations:
    """The activations of a source that the options name."""
    if options.get("source", SOURCES[0]) == "tower":
        return record_encoder(parts.vision, pictures, options.get("site", ""))
    return record_denoiser(parts.backbone, pictures, options.get("site", ""), options.get("noise", 0.1))


def _separable(
    learnt: ConceptCodes,
    tested: ConceptCodes,
    first: Activations,
    second: Activations,
    answers: Folder,
    truth: Folder,
) -> dict[str, float]:
    """How well the best ingredient, and the best single number of the layer at either sign, tells each object from the
    others, chosen in one half of the folder and measured in the other; means over objects."""
    known, asked = (_objects(part) for part in (answers, truth))
    numbers = [torch.cat([rows.amax(1), (-rows).amax(1)], 1).relu() for rows in (first.rows, second.rows)]  # (P, 2 D)
    found = {}
    for name, of in (("separability", (learnt.scores(), tested.scores())), ("separability_numbers", numbers)):
        best = separability(of[0], known).argmax(0)  # (objects,)
        values = separability(of[1], asked)[best, torch.arange(len(best))]
        found[name] = round(float(values.mean()), 4)
    return found


def _objects(folder: Folder) -> Tensor:
    """(P, objects) bool: which objects each picture shows."""
    return torch.stack([folder.present(factor) for factor in folder.factors if factor[0] == "object"], 1)


def _shuffled(folder: Folder, seed: int) -> Folder:
    """The pictures with the answers of others: the control."""
    order = torch.randperm(len(folder.pictures), generator=torch.Generator().manual_seed(seed))
    return replace(folder, factors={factor: masks[order] for factor, masks in folder.factors.items()})


def _names(parts: Parts, codes: ConceptCodes, folder: Folder) -> list[str]:
    """The word that each ingredient is named by, empty for no good name."""
    gallery = make_gallery(codes, folder.pictures, each=6, shown=len(codes.bank))
    found = named(gallery, folder.pictures, parts.vision, parts.clip, world_words(), lambda *_: None).names or ()
    return [name.word if name.good else "" for name in found]


def _factors(
    learnt: ConceptCodes,
    tested: ConceptCodes,
    answers: Folder,
    truth: Folder,
    read: Tensor,
    unseen: Tensor,
    names: Sequence[str],
) -> dict[str, dict[str, dict[str, float]]]:
    """Kind to word to scores, of the factors that some pictures of both halves show and others do not."""
    found: dict[str, dict[str, dict[str, float]]] = {kind: {} for kind in KINDS}
    smooth = [places(codes) for codes in (learnt, tested)]
    along = [places(codes, part.pictures) for codes, part in ((learnt, answers), (tested, truth))]
    for kind, word in answers.factors:
        known, asked = answers.present((kind, word)), truth.present((kind, word))
        if not (enough(known) and enough(asked)):
            continue
        scores, unseen_scores = learnt.scores(), tested.scores()
        best = int(torch.stack([auroc(column, known) for column in scores.T]).argmax())
        threshold = _best_f1(scores[:, best], known)
        masks = [coarse(part.factors[kind, word]) for part in (answers, truth)]
        own = iou(smooth[0][known, best : best + 1], masks[0][known])  # (1, thresholds)
        all_of = iou(smooth[0][known], masks[0][known])  # (K, thresholds)
        placed, level = divmod(int(all_of.argmax()), len(THRESHOLDS))
        tried = iou(smooth[1][asked], masks[1][asked])
        edges = iou(along[0][known], masks[0][known])
        traced, line = divmod(int(edges.argmax()), len(THRESHOLDS))
        parts, cut = joined(along[0][known], masks[0][known])
        union = along[1][asked][:, parts].amax(1, keepdim=True)
        weights = ridge(read, known)
        found[kind][word] = {
            "auroc": float(auroc(unseen_scores[:, best], asked)),
            "f1": f1(unseen_scores[:, best] > threshold, asked),
            "iou": float(tried[best, int(own.argmax())]),
            "iou_place": float(tried[placed, level]),
            "iou_edges": float(iou(along[1][asked][:, traced : traced + 1], masks[1][asked])[0, line]),
            "iou_joined": float(iou(union, masks[1][asked])[0, cut]),
            "probe": float(auroc(unseen @ weights, asked)),
            "name": float(names[best] == word),
        }
    return {kind: {word: _rounded(scores) for word, scores in words.items()} for kind, words in found.items()}


def f1(said: Tensor, present: Tensor) -> float:
    """F1 of yes and no (P,)."""
    right = float((said & present).sum())
    return 2 * right / max(1.0, float(said.sum() + present.sum()))


def _best_f1(scores: Tensor, present: Tensor) -> float:
    """The threshold with the best F1 where the answers are known."""
    values = scores.sort().values
    tried = [float(value) for value in (values[1:] + values[:-1]) / 2]
    return max(tried, key=lambda value: f1(scores > value, present))


def _rounded(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: round(score, 4) for name, score in scores.items()}


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Kind to each score's mean over factors of all folders with an interval, and means of what concerns all."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        entries = [scores for row in rows for scores in row["factors"][kind].values()]
        if entries:
            found[kind] = {name: interval([entry[name] for entry in entries], request.seed) for name in SCORES}
            found[kind]["factors"] = len(entries)
    for name in MEANS:
        found[name] = interval([row[name] for row in rows], request.seed)
    return found


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    options, summary = result["options"], result["summary"]
    head = (
        f"bench explain: {result['cases']} {result['split']} folders of {options.get('pictures', PICTURES)} pictures, "
        f"{options.get('count', COUNT)} ingredients by {options['method']} in {options.get('source', SOURCES[0])}"
    )
    rows = [
        [f"{kind} ({summary[kind]['factors']})", *(with_interval(summary[kind][name]) for name in SCORES)]
        for kind in KINDS
        if kind in summary
    ]
    rest = ", ".join(f"{name} {summary[name]['mean']:.3f}" for name in MEANS)
    return f"{head}\n{aligned([['', *SCORES.values()], *rows])}\n{rest}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench explain``."""
    add_common_arguments(parser, cases=4)
    parser.add_argument("--method", choices=METHODS, default=next(iter(METHODS)), help="default: %(default)s")
    parser.add_argument("--source", choices=SOURCES, default=SOURCES[0], help="default: %(default)s")
    parser.add_argument("--site", default="", help="the layer; default: that of the nodes")
    parser.add_argument("--count", type=int, default=COUNT, help="ingredients (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=PICTURES, help="of a folder (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="fits of each folder (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any setting of the method")
    parser.add_argument("--sweep", action="store_true", help="a plain probe of every layer, at several shares of noise")


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    if args.sweep:
        if args.source != SOURCES[0] or args.site or args.controls:
            raise ValueError("a sweep is of all layers of the denoiser, and has no controls")
        return run_command(SWEEP, args, {"pictures": args.pictures})
    options: dict[str, Any] = {"method": args.method, "source": args.source, "count": args.count}
    options |= {"pictures": args.pictures, "seeds": args.seeds}
    options |= {"site": args.site} if args.site else {}
    options |= {"set": list(args.set)} if args.set else {}
    settings_of(options)  # refused before anything is loaded
    return run_command(BENCH, args, options, CONTROLS)


def _object_auroc(summary: Mapping[str, Any]) -> float:
    return float(summary["object"]["auroc"]["mean"])


CONTROLS = (
    Control(
        "shuffled", "AUROC of objects, with the answers of other pictures", _object_auroc, 0.62, {"shuffled": True}
    ),
)


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The means of objects, and of what concerns all."""
    found = {name: summary["object"][name]["mean"] for name in SCORES}
    return found | {name: summary[name]["mean"] for name in ("explained", "stability")}


BENCH = Bench("explain", 2, prepare, measure, figures, table, headline)
