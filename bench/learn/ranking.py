"""``bench ranking``: the learning methods beside one another, from the files that ``bench learn --json`` wrote.

Prints a table, in brackets the 95% interval over scenes or, of several seeds, which are joined, the least and
greatest; and for every ranking that a paper claims whether it is found here. With ``--curve`` it draws scores against
samples that went through the denoiser.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...host.files.saving import atomic_write
from ..summary import aligned
from .curve import curve
from .entries import SAID, SCORES, Entry, combine, read


@dataclass(frozen=True)
class Claim:
    """That one method does better than another.

    Attributes:
        better, worse: methods.
        score: in which.
        values: what the paper has for both, where known.
        source: who says so.
    """

    better: str
    worse: str
    score: str
    values: str
    source: str


CLAIMS = (
    Claim("conceptexpress", "break_a_scene", "sim_i", "0.689 > 0.627", "2407.07077, without adapter, found masks"),
    Claim("conceptexpress", "break_a_scene", "sim_c", "0.784 > 0.773", "2407.07077, without adapter, found masks"),
    Claim("conceptexpress", "break_a_scene", "acc1", "0.263 > 0.174", "2407.07077, without adapter, found masks"),
    Claim("attencraft", "disendiff", "sim_i", "no numbers", "2405.17965: best image fidelity of those compared"),
)
"""Rankings of methods that are here, as far as their papers' numbers are known to us."""


def rows_of(entries: Sequence[Entry]) -> list[list[str]]:
    """A heading, then a row an entry: those of the same scenes together, from the best ACC^1 on seen objects down."""
    groups = [group for group in ("seen", "unseen") if all(group in entry.figures for entry in entries)]
    head = ["way", "passes a scene", *(f"{SAID[score]} {group}" for group in groups for score in SCORES), "scenes"]
    rows = [
        [
            entry.name,
            f"{sum(entry.mean('passes', group) for group in groups) / len(groups):.0f}",
            *(_value(entry, score, group) for group in groups for score in SCORES),
            f"{entry.cases} {entry.scenes}" + (f", {len(entry.seeds)} seeds" if len(entry.seeds) > 1 else ""),
        ]
        for entry in sorted(entries, key=_order)
    ]
    return [head, *rows]


def _order(entry: Entry) -> tuple[bool, str, float]:
    return entry.split != "test", entry.scenes, -entry.mean("acc1")


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table for a page."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def _value(entry: Entry, score: str, group: str) -> str:
    held = entry.figures[group][score]
    return f"{held['mean']:.2f} [{held['low']:.2f} {held['high']:.2f}]"


def verdicts(runs: Sequence[Entry], claims: Sequence[Claim] = CLAIMS) -> list[str]:
    """For every claim a line for every set of scenes that both of its methods were run on; runs as they were read."""
    lines = []
    for claim in claims:
        for scenes, pairs in _meetings(runs, claim).items():
            better, worse = (sum(values) / len(values) for values in zip(*pairs, strict=True))
            found = "found here too" if better > worse else "not found here"
            lines.append(
                f"{claim.better} above {claim.worse} in {SAID[claim.score]} ({claim.values}; {claim.source}): {found}, "
                f"{better:.3f} and {worse:.3f} on {scenes}" + (f", {len(pairs)} seeds" if len(pairs) > 1 else "")
            )
    return lines


def _meetings(runs: Sequence[Entry], claim: Claim) -> dict[str, list[tuple[float, float]]]:
    """Scenes to what both methods have there, a pair a seed; a method is judged by its best run on the same scenes."""
    found: dict[str, list[tuple[float, float]]] = {}
    for scenes, seeds in dict.fromkeys((f"{run.cases} {run.scenes}", run.seeds) for run in runs):
        here = [run for run in runs if (f"{run.cases} {run.scenes}", run.seeds) == (scenes, seeds)]
        best = [
            max((run.mean(claim.score) for run in here if run.method == method), default=None)
            for method in (claim.better, claim.worse)
        ]
        if best[0] is not None and best[1] is not None:
            found.setdefault(scenes, []).append((best[0], best[1]))
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench ranking``."""
    parser.add_argument("files", nargs="+", type=Path, help="files that bench learn --json wrote")
    parser.add_argument("--markdown", action="store_true", help="print the table as a page has it")
    parser.add_argument("--curve", type=Path, metavar="PNG", help="draw scores against passes")


def main(args: argparse.Namespace) -> int:
    """Print table and verdicts; returns the exit status."""
    runs = [read(path) for path in args.files]
    entries = combine(runs)
    table = (markdown if args.markdown else aligned)(rows_of(entries))
    sys.stdout.write("\n".join([table, "", *verdicts(runs), ""]))
    if args.curve:
        with atomic_write(args.curve) as temporary:
            curve(sorted(entries, key=lambda entry: entry.mean("passes"))).save(temporary, "PNG", optimize=True)
    return 0
