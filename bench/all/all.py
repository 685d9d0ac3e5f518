"""``bench all``: every bench whose figures stand in the docs, one after the other.

Finished cases are kept, so that the queue goes on where it was stopped, and a bench that is done takes seconds. The
quick ones come first. ``make bench`` runs the main part: the lab model, localising, learning, erasing by UCE, matching
and scoring. By ``--estimate`` that is 2.2 hours of one core.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .estimates import estimate_queue
from .queue import FOLDER, queue

log = logging.getLogger("concept_atelier.lab")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench all``."""
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder of figures (default: the pack's own)")
    parser.add_argument(
        "--only", metavar="START", nargs="+", default=[""], help="files that begin so, as in localize or learn/"
    )
    parser.add_argument("--list", action="store_true", help="print the commands and run none")
    parser.add_argument(
        "--estimate", action="store_true", help="measure two cases of each and say how long all take on one core"
    )


def main(args: argparse.Namespace) -> int:
    """Run the queue, or print it; returns 1 when a control did not fall. ``args.run`` runs a command of the pack."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    commands = {name: command for name, command in queue().items() if name.startswith(tuple(args.only))}
    if args.list:
        for name, command in commands.items():
            sys.stdout.write(f"bench {command} --json {name}\n")
        return 0
    if args.estimate:
        return estimate_queue(commands, args.run)
    return run_queue(commands, args.to, args.run)


def run_queue(commands: Mapping[str, str], folder: Path, run: Callable[[Sequence[str]], int]) -> int:
    """Run every command, its figures to a file of the folder; returns the worst exit status."""
    worst = 0
    for number, (name, command) in enumerate(commands.items(), 1):
        log.info("%d of %d: bench %s", number, len(commands), command)
        status = run(["bench", *command.split(), "--json", str(folder / name)])
        if status > 1:  # stopped
            return status
        worst = max(worst, status)
    return worst
