"""``bench localize``: how well concepts are found in scenes whose masks are known.

Scores of Concept localisation stand beside the ceiling of the grid, k-means over the same attention rows and over
colours (both told the true count), and random boxes.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from ...core.backbone import Backbone
from ...core.localize.conceptexpress import Observation, localize_observed, observe
from ...core.localize.from_masks import masks_to_grid
from ...core.localize.settings import PRESETS, LocalizeSettings
from ...core.localize.upsample import smooth_masks
from .baselines import ceiling, kmeans_of_colours, kmeans_of_rows, majority, random_boxes
from .cases import Case, make_case
from .command import add_common_arguments, backbone_for, run_command
from .controls import Control
from .drawing import SIDE
from .harness import Bench, Request, Row
from .metrics import score_masks
from .summary import Summary, detail_table, means, miou_table, summarise

METHODS = {
    "concepts": "concepts",
    "ceiling": "grid's ceiling",
    "kmeans_rows": "k-means of rows",
    "kmeans_colours": "k-means of colours",
    "random": "random boxes",
    "shuffled": "another scene's",
}


def measure(backbone: Backbone, request: Request, index: int) -> Row:
    """One scene: seed, names, number of objects, background, notes, scores by method and resolution."""
    options = request.options
    given = [options.get(name, False) for name in ("unseen", "touching", "alike")]
    case, other = (make_case(request.split, at, request.seed, (SIDE, SIDE), *given) for at in (index, index + 1))
    settings = PRESETS[options.get("preset", "small_grid")]
    return score_case(case, observe(backbone, case.picture, settings, case.seed), settings, other)


def figures(rows: Sequence[Row], request: Request) -> Summary:
    """:func:`~.summary.summarise` of the rows."""
    return summarise(rows, request.seed)


def score_case(case: Case, seen: Observation, settings: LocalizeSettings, other: Case | None = None) -> Row:
    """One row: scores of every method on a case, at grid and at pixel resolution.

    Args:
        other: a scene whose true masks are handed in as a control; None takes the case's own, turned by half a turn.
    """
    strange = other.masks if other is not None else case.masks.flip(1, 2)
    found = localize_observed(seen, settings)
    size, count = seen.picture_size, len(case.masks)
    rows = kmeans_of_rows(seen.attention, seen.grid, count, case.seed)
    colours = kmeans_of_colours(case.picture, count, case.seed)
    boxes = random_boxes(case.masks, case.seed)
    at_grid = {
        "concepts": found.masks,
        "kmeans_rows": rows,
        "kmeans_colours": majority(colours, seen.grid),
        "random": majority(boxes, seen.grid),
        "shuffled": masks_to_grid(strange, seen.grid),
    }
    at_pixels = {
        "concepts": smooth_masks(found.masks, size),
        "ceiling": ceiling(case.masks, seen.grid),
        "kmeans_rows": smooth_masks(rows, size),
        "kmeans_colours": colours,
        "random": boxes,
        "shuffled": strange,
    }
    return {
        "seed": case.seed,
        "names": list(case.names),
        "objects": count,
        "background": case.background,
        "notes": list(found.notes),
        "scores": _both(at_grid, masks_to_grid(case.masks, seen.grid), at_pixels, case.masks),
    }


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    summary = result["summary"]
    options = result["options"]
    objects = "unseen objects" if options.get("unseen") else "training objects"
    objects += "".join(f", {flag}" for flag in ("touching", "alike") if options.get(flag))
    parts = [
        f"bench localize: {result['cases']} {result['split']} scenes of {objects}, seed {result['seed']}",
        f"mean IoU at pixel resolution, 95% intervals\n{miou_table(summary, METHODS, 'pixel')}",
        f"mean IoU at grid resolution\n{miou_table(summary, METHODS, 'grid')}",
        f"concepts at pixel resolution, threshold 0.5\n{detail_table(summary, 'concepts', 'pixel')}",
    ]
    return "\n\n".join(parts) + "\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench localize``; multiples of 8 cases are balanced over counts and backgrounds."""
    add_common_arguments(parser, cases=64)
    parser.add_argument("--unseen", action="store_true", help="objects that the model never saw")
    parser.add_argument("--touching", action="store_true", help="objects that touch one another")
    parser.add_argument("--alike", action="store_true", help="two objects of the same kind in every scene of several")
    parser.add_argument("--preset", choices=PRESETS, default="small_grid", help="default: %(default)s")


def main(args: argparse.Namespace) -> int:
    """Run the command and print its tables; returns the exit status."""
    options = {"unseen": args.unseen, "preset": args.preset}
    options |= {flag: True for flag in ("touching", "alike") if getattr(args, flag)}
    return run_command(BENCH, args, options, CONTROLS)


def _both(
    at_grid: dict[str, Tensor], grid_truth: Tensor, at_pixels: dict[str, Tensor], truth: Tensor
) -> dict[str, dict[str, Any]]:
    scores: dict[str, dict[str, Any]] = {method: {} for method in METHODS}
    for resolution, found, true in (("grid", at_grid, grid_truth), ("pixel", at_pixels, truth)):
        for method, masks in found.items():
            scores[method][resolution] = asdict(score_masks(masks.cpu(), true))
    return scores


def _miou(method: str) -> Callable[[Mapping[str, Any]], float]:
    return lambda summary: summary["all"]["scores"][method]["pixel"]["miou"]["mean"]


CONTROLS = (
    Control("untrained", "concepts found by a model at random weights", _miou("concepts"), 0.2, untrained=True),
    Control("shuffled", "the true masks of another scene", _miou("shuffled"), 0.25),
    Control("random", "random boxes", _miou("random"), 0.25),
)


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Means over all scenes: of the concepts, at pixel resolution where nothing is said, and of the baselines."""
    scores = summary["all"]["scores"]
    pixel = means(scores["concepts"]["pixel"])
    baselines = {
        name: {f"miou_{resolution}": found["miou"]["mean"] for resolution, found in scores[name].items()}
        for name in METHODS
        if name not in ("concepts", "ceiling")
    }
    return {
        "miou_grid": scores["concepts"]["grid"]["miou"]["mean"],
        "miou_pixel": pixel["miou"],
        "ceiling_pixel": scores["ceiling"]["pixel"]["miou"]["mean"],
        **{name: pixel[name] for name in ("recall", "precision", "count_error", "ari")},
        "baselines": baselines,
    }


BENCH = Bench("localize", 3, backbone_for, measure, figures, table, headline)
