"""``bench surgery``: few parameters that carry a skill, two skills in one model, and words inside a model.

``--part skills`` measures what share of a fine-tune carries each of four skills, and pairs of them by several ways of
merging; ``calibrated`` the parameters that pictures of a skill choose; ``heads`` head offsets compared with LoRAs;
``vectors``, ``audit`` and ``probes`` look inside the text encoder and the denoiser. The fine-tunes are trained once, at
the first use, and kept with finished cases.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..command import add_common_arguments, run_command
from ..erase.parts import Parts, prepare
from ..harness import Bench, Request, Row
from ..summary import Table, aligned
from . import heads, inside, skills


@dataclass(frozen=True)
class Part:
    """One part of the bench.

    Attributes:
        cases: how many there are, or how many are usual.
        measure, figures: as of a bench.
        tables: of the figures, each a list of rows whose first is the head.
    """

    cases: int
    measure: Callable[[Parts, Request, int], Row]
    figures: Callable[[Sequence[Row], Request], dict[str, Any]]
    tables: Callable[[Mapping[str, Any]], list[Table]]


PARTS: Mapping[str, Part] = {
    "skills": Part(10, skills.measure, skills.figures, skills.tables),
    "calibrated": Part(4, skills.measure_calibrated, skills.calibrated_figures, skills.calibrated_tables),
    "heads": Part(4, heads.measure, heads.figures, heads.tables),
    "vectors": Part(8, inside.measure_vectors, inside.vector_figures, inside.vector_tables),
    "audit": Part(4, inside.measure_audit, inside.audit_figures, inside.audit_tables),
    "probes": Part(4, inside.measure_probes, inside.probe_figures, inside.probe_tables),
}


def measure(parts: Parts, request: Request, index: int) -> Row:
    """One case of the part that is asked for."""
    return PARTS[request.options["part"]].measure(parts, request, index)


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Of the part that is asked for."""
    return PARTS[request.options["part"]].figures(rows, request)


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    part = result["options"]["part"]
    head = f"bench surgery, {part}: {result['cases']} cases, {result['split']} split, seed {result['seed']}"
    found = "\n".join(aligned(rows) for rows in PARTS[part].tables(result["summary"]))
    return f"{head}; 95% intervals\n{found}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench surgery``."""
    add_common_arguments(parser, cases=0)
    parser.add_argument("--part", choices=list(PARTS), default="skills", help="default: %(default)s")


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    args.cases = args.cases or PARTS[args.part].cases
    return run_command(BENCH, args, {"part": args.part})


BENCH = Bench("surgery", 1, prepare, measure, figures, table)
