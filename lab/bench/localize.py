"""``bench localize``: how well concepts are found in scenes whose masks are known.

Scores of Concept localisation stand beside the ceiling of the grid, k-means over the same attention rows and over
colours (both told the true count), and random boxes.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from ...core.backbone import Backbone
from ...core.localize.conceptexpress import Observation, localize_observed, observe
from ...core.localize.from_masks import masks_to_grid
from ...core.localize.settings import PRESETS, SMALL_GRID, LocalizeSettings
from ...core.localize.upsample import smooth_masks
from ...host.saving import save_json
from ..world.atlas import SPLITS
from .baselines import ceiling, kmeans_of_colours, kmeans_of_rows, majority, random_boxes
from .cases import Case, make_case
from .metrics import score_masks
from .summary import detail_table, miou_table, summarise

SCHEMA = 1
METHODS = {
    "concepts": "concepts",
    "ceiling": "grid's ceiling",
    "kmeans_rows": "k-means of rows",
    "kmeans_colours": "k-means of colours",
    "random": "random boxes",
}


def run(
    backbone: Backbone,
    *,
    split: str = "development",
    cases: int = 64,
    seed: int = 0,
    settings: LocalizeSettings = SMALL_GRID,
    unseen: bool = False,
    size: tuple[int, int] = (128, 128),
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Run the bench.

    Args:
        backbone: the model to look with.
        split: ``train``, ``development`` or ``test``.
        cases: number of scenes; multiples of 8 are balanced over counts and backgrounds.
        seed: of scenes, noise and baselines; same seed, same figures.
        settings: of localisation.
        unseen: scenes of objects that denoiser and text encoder never saw.
        size: (H, W) of the pictures, multiples of the latent's downscale.
        progress: told how many cases are done, of how many.

    Returns:
        What JSON holds: ``bench``, ``schema``, the arguments, ``rows`` (one per case: seed, names, number of objects,
        background, notes, scores by method and resolution) and ``summary`` (:func:`~.summary.summarise`).
    """
    if cases < 1:
        raise ValueError(f"the bench needs at least 1 case, got {cases}")
    rows = []
    for index in range(cases):
        case = make_case(split, index, seed, size, unseen)
        rows.append(score_case(case, observe(backbone, case.picture, settings, case.seed), settings))
        if progress is not None:
            progress(index + 1, cases)
    asked = {"split": split, "cases": cases, "seed": seed, "unseen": unseen, "size": list(size)}
    model = {"family": backbone.family, "settings": asdict(settings)}
    return {"bench": "localize", "schema": SCHEMA, **asked, **model, "rows": rows, "summary": summarise(rows, seed)}


def score_case(case: Case, seen: Observation, settings: LocalizeSettings) -> dict[str, Any]:
    """One row: scores of every method on a case, at grid and at pixel resolution."""
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
    }
    at_pixels = {
        "concepts": smooth_masks(found.masks, size),
        "ceiling": ceiling(case.masks, seen.grid),
        "kmeans_rows": smooth_masks(rows, size),
        "kmeans_colours": colours,
        "random": boxes,
    }
    return {
        "seed": case.seed,
        "names": list(case.names),
        "objects": count,
        "background": case.background,
        "notes": list(found.notes),
        "scores": _both(at_grid, masks_to_grid(case.masks, seen.grid), at_pixels, case.masks),
    }


def table(result: dict[str, Any]) -> str:
    """The figures of :func:`run` as text for a terminal."""
    summary = result["summary"]
    objects = "unseen objects" if result["unseen"] else "training objects"
    parts = [
        f"bench localize: {result['cases']} {result['split']} scenes of {objects}, seed {result['seed']}",
        f"mean IoU at pixel resolution, 95% intervals\n{miou_table(summary, METHODS, 'pixel')}",
        f"mean IoU at grid resolution\n{miou_table(summary, METHODS, 'grid')}",
        f"concepts at pixel resolution, threshold 0.5\n{detail_table(summary, 'concepts', 'pixel')}",
    ]
    return "\n\n".join(parts) + "\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench localize``."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    parser.add_argument("--seed", type=int, default=0, help="of scenes and noise (default: %(default)s)")
    parser.add_argument("--cases", type=int, default=64, help="number of scenes (default: %(default)s)")
    parser.add_argument("--split", choices=SPLITS, default="development", help="default: %(default)s")
    parser.add_argument("--unseen", action="store_true", help="objects that the model never saw")
    parser.add_argument("--preset", choices=PRESETS, default="small_grid", help="default: %(default)s")
    parser.add_argument("--model", type=Path, help="model folder; the default is the lab model that ships")
    parser.add_argument("--untrained", action="store_true", help="random weights: the control, figures must collapse")


def main(args: argparse.Namespace) -> int:
    """Run the command and print its tables; returns the exit status."""
    result = run(
        load_backbone(args.model, args.untrained),
        split=args.split,
        cases=args.cases,
        seed=args.seed,
        settings=PRESETS[args.preset],
        unseen=args.unseen,
        progress=_show_progress,
    )
    if args.json:
        save_json(args.json, result)
    sys.stdout.write(table(result))
    return 0


def load_backbone(folder: Path | None = None, untrained: bool = False) -> Backbone:
    """The lab model of a folder (default: the one that ships), or its modules at random weights."""
    from ...host.adapters import backbone_of
    from ..model.handles import handles, load_handles
    from ..model.modules import build_modules

    if untrained:
        return backbone_of(*handles(build_modules(seed=0)))
    return backbone_of(*(load_handles(folder) if folder else load_handles()))


def _both(
    at_grid: dict[str, Tensor], grid_truth: Tensor, at_pixels: dict[str, Tensor], truth: Tensor
) -> dict[str, dict[str, Any]]:
    scores: dict[str, dict[str, Any]] = {method: {} for method in METHODS}
    for resolution, found, true in (("grid", at_grid, grid_truth), ("pixel", at_pixels, truth)):
        for method, masks in found.items():
            scores[method][resolution] = asdict(score_masks(masks.cpu(), true))
    return scores


def _show_progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done}/{total} scenes" + ("\n" if done == total else ""))
        sys.stderr.flush()
