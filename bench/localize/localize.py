"""``bench localize``: how well concepts are found in scenes whose masks are known.

Scores of concept localisation stand beside the ceiling of the grid, k-means over the same attention rows and over
colours (both given the true count), and random boxes. Methods that need words get the true names. The others get
nothing or, with ``--known-count``, the true count.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from torch import Tensor

from ...core.backbone import Backbone
from ...core.localize.parts.observation import Observation, observe
from ...core.localize.parts.pipeline import localize_observed
from ...core.localize.parts.settings import SMALL_GRID, LocalizeSettings
from ...core.localize.registry import METHODS, method_and_preset, preset_names
from ...core.masks.from_masks import masks_to_grid
from ...core.masks.guided import guided_masks, pixel_masks
from ...core.masks.upsample import smooth_masks
from ...core.settings import preset_name
from ...core.types import Concepts
from ...lab.world.atlas import load_atlas
from ..cases import Case
from ..command import add_common_arguments, add_settings_argument, backbone_for, chosen_settings, run_command
from ..controls import Control
from ..harness import Bench, Request, Row
from ..metrics import score_masks
from ..summary import Summary, detail_table, means, miou_table, summarise
from .baselines import ceiling, kmeans_of_colours, kmeans_of_rows, majority, random_boxes
from .cases import METHOD, PRESET, case_of_options, localized, localizer_of, read_as, settings_of
from .sweep import BENCH as SWEEP

OBSERVING = SMALL_GRID
"""How pictures are observed for the baselines, where a method does not cluster attention."""

COMPARED = {
    "concepts": "concepts",
    "smooth": "smooth outlines",
    "ceiling": "grid's ceiling",
    "ceiling_edges": "with edges",
    "kmeans_rows": "k-means of rows",
    "kmeans_colours": "k-means of colours",
    "random": "random boxes",
    "shuffled": "another scene's",
}


def measure(backbone: Backbone, request: Request, index: int) -> Row:
    """One scene: seed, names, number of objects, background, notes, scores by method and resolution."""
    options = request.options
    case, other = (case_of_options(request, at) for at in (index, index + 1))
    localizer, settings = localizer_of(options), settings_of(options, len(case.masks), backbone)
    observed = isinstance(settings, LocalizeSettings)
    if "caption" in options:
        settings = replace(settings, prompt=case.caption)
    seen = observe(backbone, case.picture, read_as(backbone, settings if observed else OBSERVING), case.seed)
    found = localize_observed(seen, settings) if observed else localized(backbone, case, localizer, settings)
    return score_case(case, seen, found, other)


def figures(rows: Sequence[Row], request: Request) -> Summary:
    """:func:`~..summary.summarise` of the rows."""
    return summarise(rows, request.seed)


def score_case(case: Case, seen: Observation, found: Concepts, other: Case | None = None) -> Row:
    """One row: scores of every method on a case, at grid and at pixel resolution.

    Args:
        found: what is measured; the outlines it asks for are those of all masks that come from the grid.
        other: a scene whose true masks are handed in as a control; None takes the case's own, turned by half a turn.
    """
    strange = other.masks if other is not None else case.masks.flip(1, 2)
    size, count = seen.picture_size, len(case.masks)
    rows = kmeans_of_rows(seen.attention, seen.grid, count, case.seed)
    colours = kmeans_of_colours(case.picture, count, case.seed)
    boxes = random_boxes(case.masks, case.seed)
    at_grid = {
        "concepts": found.masks
        if found.grid == seen.grid
        else masks_to_grid(smooth_masks(found.masks, size), seen.grid),
        "kmeans_rows": rows,
        "kmeans_colours": majority(colours, seen.grid),
        "random": majority(boxes, seen.grid),
        "shuffled": masks_to_grid(strange, seen.grid),
    }
    at_pixels = {
        "concepts": pixel_masks(found, case.picture),
        "smooth": smooth_masks(found.masks, size),
        "ceiling": ceiling(case.masks, seen.grid),
        "ceiling_edges": ceiling(case.masks, seen.grid, case.picture),
        "kmeans_rows": guided_masks(rows, case.picture) if found.outline == "edges" else smooth_masks(rows, size),
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
    objects += f", drawn by {options['hand']}" if "hand" in options else ""
    changes = "".join(f", {name} {value}" for name, value in options.get("settings", {}).items())
    method = f"{options.get('method', METHOD)}, given {_given(options)}{changes}"
    parts = [
        f"bench localize: {result['cases']} {result['split']} scenes of {objects}, seed {result['seed']}; {method}",
        f"mean IoU at pixel resolution, 95% intervals\n{miou_table(summary, COMPARED, 'pixel')}",
        f"mean IoU at grid resolution\n{miou_table(summary, COMPARED, 'grid')}",
        f"concepts at pixel resolution, threshold 0.5\n{detail_table(summary, 'concepts', 'pixel')}",
    ]
    return "\n\n".join(parts) + "\n"


def _given(options: Mapping[str, Any]) -> str:
    if "words" in localizer_of(options).needs:
        return "the names"
    given = ["the count"] * bool(options.get("known_count"))
    given += [f"a {options['caption']} caption"] if "caption" in options else []
    return " and ".join(given) or "nothing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench localize``; multiples of 8 cases are balanced over counts and backgrounds."""
    add_common_arguments(parser, cases=64)
    parser.add_argument("--unseen", action="store_true", help="objects that the model never saw")
    parser.add_argument("--touching", action="store_true", help="objects that touch one another")
    parser.add_argument("--alike", action="store_true", help="two objects of the same kind in every scene of several")
    parser.add_argument(
        "--method",
        choices=METHODS,
        default=METHOD,
        help="methods that need words get the true names (default: %(default)s)",
    )
    parser.add_argument("--hand", choices=load_atlas().hands, help="whose drawings (default: those that training saw)")
    parser.add_argument("--caption", choices=("short", "complete"), help="show the model the scene's caption as well")
    parser.add_argument(
        "--known-count", "--told", action="store_true", help="give the method the true number of objects"
    )
    parser.add_argument(
        "--preset", type=preset_name, choices=preset_names(), default=PRESET, help="default: %(default)s"
    )
    parser.add_argument(
        "--sweep", action="store_true", help="every layer by itself, at several shares of noise; concepts alone"
    )
    add_settings_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Run the command and print its tables; returns the exit status."""
    options = {"unseen": args.unseen, "preset": args.preset}
    options |= {flag: True for flag in ("touching", "alike", "known_count") if getattr(args, flag)}
    options |= {name: getattr(args, name) for name in ("hand", "caption") if getattr(args, name)}
    localizer, preset = method_and_preset(args.method, args.preset)
    settings = chosen_settings(args, localizer.preset(preset))
    if settings:
        settings_of({"settings": settings, "method": args.method, "preset": args.preset}, 1)  # refused before it loads
        options["settings"] = settings
    if args.method != METHOD:
        if args.caption or args.known_count or (args.alike and "words" in localizer.needs):
            raise ValueError(
                f"only {METHOD} takes a count or a caption, and words cannot tell two objects of one kind apart"
            )
        options["method"] = args.method
    if args.sweep:
        if args.method != METHOD or args.controls:
            raise ValueError(f"a sweep is of {METHOD}, and has no controls")
        return run_command(SWEEP, args, options)
    return run_command(BENCH, args, options, CONTROLS)


def _both(
    at_grid: dict[str, Tensor], grid_truth: Tensor, at_pixels: dict[str, Tensor], truth: Tensor
) -> dict[str, dict[str, Any]]:
    scores: dict[str, dict[str, Any]] = {method: {} for method in COMPARED}
    for resolution, found, true in (("grid", at_grid, grid_truth), ("pixel", at_pixels, truth)):
        for method, masks in found.items():
            scores[method][resolution] = asdict(score_masks(masks.cpu(), true))
    return scores


def _miou(method: str) -> Callable[[Mapping[str, Any]], float]:
    return lambda summary: summary["all"]["scores"][method]["pixel"]["miou"]["mean"]


CONTROLS = (
    Control("untrained", "concepts found by a model at random weights", _miou("concepts"), 0.2, untrained=True),
    Control("shuffled", "the true masks of another scene", _miou("shuffled"), 0.35),
    Control("random", "random boxes", _miou("random"), 0.35),
)


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Means over all scenes, at pixel resolution unless the name says otherwise, and those of the baselines."""
    scores = summary["all"]["scores"]
    pixel = means(scores["concepts"]["pixel"])
    baselines = {
        name: {f"miou_{resolution}": found["miou"]["mean"] for resolution, found in scores[name].items()}
        for name in COMPARED
        if name not in ("concepts", "smooth", "ceiling", "ceiling_edges")
    }
    return {
        "miou_grid": scores["concepts"]["grid"]["miou"]["mean"],
        "miou_pixel": pixel["miou"],
        "miou_pixel_smooth": scores["smooth"]["pixel"]["miou"]["mean"],
        "ceiling_pixel": scores["ceiling_edges"]["pixel"]["miou"]["mean"],
        "ceiling_pixel_smooth": scores["ceiling"]["pixel"]["miou"]["mean"],
        **{name: pixel[name] for name in ("recall", "precision", "count_error", "ari")},
        "baselines": baselines,
    }


BENCH = Bench("localize", 4, backbone_for, measure, figures, table, headline)
