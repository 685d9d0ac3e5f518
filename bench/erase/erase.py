"""``bench erase``: is an erased concept gone, by name and by synonym, and is everything else as it was?

Every picture is drawn twice from the same noise, before and after. Each case erases one object, every fourth a style;
or as many objects as asked, a style or a colour. Synonyms of the objects are asked for afterwards, and are erased as
well only where ``--synonyms listed`` says so. Half of the other objects are on the preserve list, half are not, so
that both are measured. Which objects a split erases stands in :mod:`.concepts`.
"""

import argparse
from collections.abc import Mapping
from typing import Any

from ...core.erase.registry import METHODS
from ..command import add_common_arguments, add_settings_argument, chosen_settings, run_command
from ..controls import Control
from ..harness import Bench
from ..summary import means
from .cases import measure
from .concepts import LISTED, SYNONYMS, UNLISTED, WHAT, check_count
from .figures import figures, table
from .parts import default_preset, prepare


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench erase``; 44 cases hold 1056 pairs of other objects."""
    add_common_arguments(parser, cases=44)
    presets = ", ".join(f"{name}: {' '.join(eraser.presets)}" for name, eraser in METHODS.items())
    parser.add_argument("--method", choices=METHODS, default="uce", help="default: %(default)s")
    said = f"of the method ({presets}); default: small_transformer on the transformer where it has one, else small"
    parser.add_argument("--preset", help=said)
    add_settings_argument(parser)
    parser.add_argument("--what", choices=WHAT, default="mixed", help="what a case erases; mixed: every fourth a style")
    parser.add_argument("--concepts", type=int, default=1, metavar="N", help="objects that a case erases at once")
    parser.add_argument(
        "--synonyms", choices=SYNONYMS, default=UNLISTED, help="listed: erase an object's synonyms beside its name"
    )
    parser.add_argument("--anchor", default="", help="what to draw instead (default: the empty prompt)")
    parser.add_argument(
        "--random-vector", action="store_true", help="erase a random vector: the control, all must stay"
    )


def main(args: argparse.Namespace) -> int:
    """Run the command and print its tables; returns the exit status."""
    preset = args.preset or default_preset(args.method, str(args.model))
    chosen = chosen_settings(args, METHODS[args.method].preset(preset))  # refused before anything is loaded
    options = {"preset": preset, "anchor": args.anchor} | ({"random_vector": True} if args.random_vector else {})
    options |= unusual_cases(args)
    options |= {"method": args.method} if args.method != "uce" else {}  # as rows on disk have it
    options |= {"set": chosen} if chosen else {}
    return run_command(BENCH, args, options, CONTROLS)


def unusual_cases(args: argparse.Namespace) -> dict[str, Any]:
    """What cases erase, where it is not the usual. Raises ``ValueError`` for several concepts that are no objects, too
    many, and controls or listed synonyms without objects."""
    check_count(args.concepts, args.split)
    what = "object" if args.what == "mixed" and args.concepts > 1 else args.what
    if args.concepts > 1 and what != "object":
        raise ValueError(f"--concepts counts objects, and --what {what} erases one {what} at a time")
    if args.controls and what in ("style", "colour"):
        raise ValueError(f"the controls are about objects, and --what {what} erases none; leave --controls out")
    if args.synonyms == LISTED and what in ("style", "colour"):
        raise ValueError(f"--what {what} erases no object, and only objects have synonyms; leave --synonyms out")
    options: dict[str, Any] = {"what": what} if what != "mixed" else {}
    options |= {"concepts": args.concepts} if args.concepts > 1 else {}
    return options | ({"synonyms": LISTED} if args.synonyms == LISTED else {})


def _found_before(summary: Mapping[str, Any]) -> float:
    return float(summary["found_before"]["mean"])


def _loss(summary: Mapping[str, Any]) -> float:
    return float(summary["found_before"]["mean"] - summary["found_after"]["mean"])


CONTROLS = (
    Control("random_vector", "objects lost when a random vector is erased", _loss, 0.15, {"random_vector": True}),
    Control("untrained", "objects found before, a model at random weights", _found_before, 0.1, untrained=True),
)
BENCH = Bench("erase", 2, prepare, measure, figures, table, means)
