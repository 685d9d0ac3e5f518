"""``bench decompose``: whether named weights of embeddings are right, and whether an edit makes a picture's embedding
that of another.

A case is a folder of scenes of one or two of eight kinds of objects, in styles and tints, with a caption each. Half of
it is aligned. In the other half the weights of each concept are compared with what pictures show (AUROC), beside the
plain cosines of the same encoders and a ridge regression of the raw features. Then one object of each picture is
swapped for another: of the edited embedding the nearest other picture, by the encoder alone, should show the new
object and not the old one, and still the style of the first. Nothing is drawn: the lab has no model that reads
embeddings of pictures.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.evaluate.similarity import unit
from ...core.explain.probe import auroc, ridge
from ...core.recognise.embeddings.align import AlignSettings
from ...core.recognise.embeddings.decompose import Alignment, Edit, change_of, decompose, edited_weights
from ...host.jobs.paired_texts import word_features
from ...host.jobs.recognise.embeddings import learn_alignment
from ...host.jobs.vision import picture_features
from ..command import add_common_arguments, run_command
from ..controls import Control
from ..explain.explain import Parts, prepare
from ..explain.folders import KINDS, Folder, make_folder
from ..harness import Bench, Request, Row
from ..summary import aligned, interval, with_interval

PICTURES = 240
SCORES = {
    "auroc": "AUROC, weights",
    "cosine": "AUROC, cosines",
    "probe": "AUROC, ridge of raw features",
    "explained": "R2",
    "new": "nearest has the new object",
    "old": "nearest has the old object",
    "style": "nearest has the style",
    "old_before": "unedited: old object",
    "new_before": "unedited: new object",
    "style_before": "unedited: style",
}


def measure(parts: Parts, request: Request, index: int) -> Row:
    """One folder."""
    options = request.options
    folder = make_folder(request.split, index, request.seed, options.get("pictures", PICTURES))
    factors = list(folder.factors)
    words = [word for _, word in factors]
    shown = torch.stack([folder.present(factor) for factor in factors], 1)  # (P, K)
    half = len(shown) // 2
    mentioned = shown[:half]
    if options.get("shuffled"):
        mentioned = mentioned[torch.randperm(half, generator=torch.Generator().manual_seed(index))]
    captions = [", ".join(w for w, on in zip(words, row, strict=True) if on) for row in mentioned.tolist()]
    found = learn_alignment(
        parts.vision, parts.clip, folder.pictures[:half], captions, mentioned, words, "one vector", AlignSettings()
    )
    seen = picture_features(parts.vision, folder.pictures)
    result = decompose(found, found.axes.of_pictures(seen[half:]))
    row = _weights(found, result.weights, parts, folder, words, shown, seen, half)
    row["explained"] = float(result.explained.mean())
    return {
        name: round(value, 4)
        for name, value in (
            row | _swaps(found, seen[half:], shown[half:], factors, options.get("strength", 1.0))
        ).items()
    }


def _weights(
    found: Alignment,
    weights: Tensor,
    parts: Parts,
    folder: Folder,
    words: Sequence[str],
    shown: Tensor,
    seen: Tensor,
    half: int,
) -> Row:
    cosines = seen[half:] @ word_features(parts.vision, parts.clip, words, seen.shape[1], "a drawing, {}").T
    scores: dict[str, list[float]] = {"auroc": [], "cosine": [], "probe": []}
    for number, name in enumerate(found.names):
        column = list(words).index(name)
        truth = shown[half:, column]
        if min(int(truth.sum()), int((~truth).sum())) < 2:
            continue
        probe = seen[half:] @ ridge(seen[:half], shown[:half, column])
        for key, values in (("auroc", weights[:, number]), ("cosine", cosines[:, column]), ("probe", probe)):
            scores[key].append(float(auroc(values, truth)))
    return {key: sum(values) / len(values) for key, values in scores.items()}


def _swaps(found: Alignment, seen: Tensor, shown: Tensor, factors: Sequence[tuple[str, str]], strength: float) -> Row:
    """Each picture with one known object has it swapped for the next kind."""
    objects = [word for kind, word in factors if kind == KINDS[0] and word in found.names]
    columns = [word for _, word in factors]
    styles = [number for number, (kind, _) in enumerate(factors) if kind == "style"]
    alike = seen @ seen.T
    hits: dict[str, list[float]] = {name: [] for name in ("new", "old", "style")}
    hits |= {f"{name}_before": [] for name in ("new", "old", "style")}
    for old, new in zip(objects, objects[1:] + objects[:1], strict=True):
        a, b = columns.index(old), columns.index(new)
        rest = [columns.index(one) for one in objects if one != old]
        for picture in (shown[:, a] & ~shown[:, rest].any(1)).nonzero()[:, 0].tolist():
            one = seen[picture : picture + 1]
            weights = decompose(found, found.axes.of_pictures(one)).weights
            after = edited_weights(weights, [Edit(found.index(old), to=found.index(new))])
            near = unit(one + strength * change_of(found, weights, after)) @ seen.T  # (1, P)
            for key, values in (("", near[0].clone()), ("_before", alike[picture].clone())):
                values[picture] = -2
                best = int(values.argmax())
                same = shown[best, styles] & shown[picture, styles]
                for name, hit in (("new", shown[best, b]), ("old", shown[best, a]), ("style", same.any())):
                    hits[name + key].append(float(hit))
    return {name: sum(values) / max(1, len(values)) for name, values in hits.items()}


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Each score's mean over folders with an interval."""
    return {name: interval([row[name] for row in rows], request.seed) for name in SCORES}


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    head = f"bench decompose: {result['cases']} {result['split']} folders of {PICTURES} scenes, half of them aligned"
    head += f"; swaps of strength {result['options']['strength']:g}"
    rows = [[said, with_interval(result["summary"][name])] for name, said in SCORES.items()]
    return f"{head}\n{aligned(rows)}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench decompose``."""
    add_common_arguments(parser, cases=6)
    parser.add_argument("--strength", type=float, default=1.0, help="of the swaps (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    return run_command(BENCH, args, {"strength": args.strength}, CONTROLS)


CONTROLS = (
    Control(
        "shuffled",
        "AUROC of weights, with the captions of other pictures",
        lambda summary: float(summary["auroc"]["mean"]),
        0.6,
        {"shuffled": True},
    ),
)


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The means."""
    return {name: summary[name]["mean"] for name in SCORES}


BENCH = Bench("decompose", 1, prepare, measure, figures, table, headline)
