"""``bench importance``: does an ingredient's importance say what becomes of it when the object is taken away?

Ingredients are found in one half of a folder. In pictures of the other half that show an object, the importance of each
ingredient for the name of that object is measured, by each way of measuring. Beside it stands the true effect: the same
picture is made again with background in the object's place, and how much of each ingredient is then lost. Both
orders are compared by their rank correlation, and by whether the ingredient that matters most is among the three that
lose most. Fidelity says how soon the score falls and rises, against random orders and the order by strength.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.explain.fidelity import measure_fidelity
from ...core.explain.importance.denoiser import denoiser_head
from ...core.explain.importance.head import Head, Question
from ...core.explain.importance.method import Budget
from ...core.explain.importance.registry import MEASURES, importances
from ...core.explain.registry import METHODS, encode
from ...host.jobs.explain.encoder_head import encoder_head
from ...host.jobs.paired_texts import word_features
from ..command import add_common_arguments, run_command
from ..harness import Bench, Request, Row
from ..ranks import spearman
from ..summary import aligned, interval, with_interval
from .explain import SOURCES, Parts, prepare, record
from .folders import make_folder

PICTURES, COUNT, ASKED, POINTS, TOP = 80, 32, 3, 8, 3
"""Of a folder; ingredients; pictures that are asked about; points for Sobol indices; the most lost that count."""
WAYS = tuple(name for name in MEASURES if name != "closed_form")
FIGURES = {
    "rank": "rank correlation with what is lost",
    "top": "most important is among the three most lost",
    "over_random": "better than random orders",
    "over_strength": "better than the order by strength",
    "mu": "mu-fidelity",
}


def measure(parts: Parts, request: Request, index: int) -> Row:
    """One folder: the mean figures of every way of measuring."""
    options = request.options
    folder = make_folder(request.split, index, request.seed, int(options.get("pictures", PICTURES)))
    half = len(folder.pictures) // 2
    method = METHODS[options.get("method", "ra_sae")]
    learnt = record(parts, folder.pictures[:half], options)
    bank = method.bank(learnt, int(options.get("count", COUNT)), method.preset("small"), seed=index, seeds=1)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    for number, factor in _asked(folder.factors, half, len(folder.pictures)):
        pictures = torch.cat([folder.pictures[number : number + 1], folder.without(factor, [number])])
        activations = record(parts, pictures, options)
        codes = encode(bank, activations)
        energy = codes.values.sum(1)  # (2, K)
        lost = energy[0] - energy[1]
        head = _head(parts, options, activations.part(slice(1)), pictures[:1], factor[1])
        question = Question(encode(bank, activations.part(slice(1))), head)
        for name in WAYS:
            found[name].append(_figures(question, name, lost, index))
    return {name: {key: _mean([one[key] for one in of]) for key in FIGURES} for name, of in found.items()}


def _asked(factors: Mapping[tuple[str, str], Tensor], start: int, end: int) -> list[tuple[int, tuple[str, str]]]:
    """Pictures of the second half with an object each, the first objects in turn."""
    chosen = []
    for factor in [factor for factor in factors if factor[0] == "object"][:ASKED]:
        there = factors[factor].flatten(1).any(1)[start:end].nonzero()[:, 0]
        chosen += [(start + int(there[0]), factor)] if len(there) else []
    return chosen


def _head(parts: Parts, options: Mapping[str, Any], activations: Any, pictures: Tensor, word: str) -> Head:
    """How much of what the object's name says is in a picture."""
    if activations.origin.kind == "denoiser":
        return denoiser_head(parts.backbone, pictures, activations.origin, 0, f"a photo of a {word}")
    width = int(parts.vision.encode_image(pictures.movedim(1, -1)).image_embeds.shape[-1])
    features = word_features(parts.vision, parts.clip, [word], width)
    return encoder_head(parts.vision, activations, pictures, word, features)


def _figures(question: Question, way: str, lost: Tensor, seed: int) -> dict[str, float]:
    """One picture: how its importances go with what is lost, and fidelity."""
    own = importances(question, MEASURES[way], Budget(POINTS, seed))
    active = question.active(0)
    fidelity = measure_fidelity(question, own, seed)
    most = set(lost.topk(min(TOP, len(lost))).indices.tolist())
    return {
        "rank": spearman(own[0, active].tolist(), lost[active].tolist()) or 0.0,
        "top": float(int(own[0].argmax()) in most),
        "over_random": fidelity.better_than("random"),
        "over_strength": fidelity.better_than("strength"),
        "mu": float(fidelity.mu[0]),
    }


def _mean(values: Sequence[float]) -> float:
    """Of the values that are numbers."""
    known = [value for value in values if value == value]
    return round(sum(known) / max(1, len(known)), 4)


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Way of measuring to means with intervals over folders."""
    return {way: {name: interval([row[way][name] for row in rows], request.seed) for name in FIGURES} for way in WAYS}


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    rows = [[way, *(with_interval(result["summary"][way][name]) for name in FIGURES)] for way in WAYS]
    options = result["options"]
    head = (
        f"bench importance: {result['cases']} {result['split']} folders, {ASKED} pictures each, "
        f"{options.get('count', COUNT)} ingredients by {options.get('method', 'ra_sae')} in "
        f"{options.get('source', SOURCES[0])}; 95% intervals"
    )
    return f"{head}\n{aligned([['', *FIGURES.values()], *rows])}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench importance``."""
    add_common_arguments(parser, cases=4)
    parser.add_argument("--method", choices=METHODS, default="ra_sae", help="default: %(default)s")
    parser.add_argument("--source", choices=SOURCES, default=SOURCES[0], help="default: %(default)s")
    parser.add_argument("--count", type=int, default=COUNT, help="ingredients (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=PICTURES, help="of a folder (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    names = ("method", "source", "count", "pictures")
    return run_command(BENCH, args, {name: getattr(args, name) for name in names})


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The means."""
    return {way: {name: value["mean"] for name, value in of.items()} for way, of in summary.items()}


BENCH = Bench("importance", 1, prepare, measure, figures, table, headline)
