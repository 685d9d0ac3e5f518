"""``bench recognise``: subjects that were shown in a few pictures, classes by heads and by words, and captions."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from ...core.recognise.registry import SUBJECTS
from ..command import add_common_arguments, run_command
from ..explain.explain import SOURCES
from . import correcting, dependencies, heads, subjects, withheld, words
from .subject_cases import LOOKS

MEASURED: Mapping[str, Any] = {
    "subjects": subjects,
    "heads": heads,
    "words": words,
    "captions": withheld,
    "corrections": correcting,
    "dependencies": dependencies,
}
"""What is measured, to the module that does."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench recognise``."""
    add_common_arguments(parser, cases=12)
    parser.add_argument("--what", choices=MEASURED, default="subjects", help="what is measured (default: %(default)s)")
    parser.add_argument("--whole", action="store_true", help="of captions: compare whole pictures alone, no windows")
    of = parser.add_argument_group("of subjects")
    of.add_argument("--method", choices=SUBJECTS, default=next(iter(SUBJECTS)), help="default: %(default)s")
    of.add_argument("--source", choices=SOURCES, default="tower", help="default: %(default)s")
    of.add_argument("--site", default="", help="the layer; default: all of the tower, that of the nodes elsewhere")
    of.add_argument(
        "--examples", type=int, default=subjects.EXAMPLES, help="pictures to learn from (default: %(default)s)"
    )
    of.add_argument("--look", choices=LOOKS, default=LOOKS[0], help="of the subject (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    chosen = MEASURED[args.what]
    return run_command(chosen.BENCH, args, OPTIONS.get(args.what, lambda _: {})(args), chosen.CONTROLS)


def _of_subjects(args: argparse.Namespace) -> dict[str, Any]:
    options: dict[str, Any] = {"method": args.method, "source": args.source, "examples": args.examples}
    return options | {"look": args.look} | ({"site": args.site} if args.site else {})


OPTIONS: Mapping[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "subjects": _of_subjects,
    "captions": lambda args: {"windows": False} if args.whole else {},
}
"""What of the command line each of them takes."""
