"""``python -m concept_atelier run``: a workflow from the command line."""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ..core.messages import first_of, printable, shown
from ..host.shared.interrupts import INTERRUPTED

if TYPE_CHECKING:
    from ..host.workflow.runner import RunResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The ``run`` command's own arguments."""
    parser.add_argument("workflow", type=Path, help="a workflow file, in the UI or the API format")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        type=_override,
        metavar="NODE.INPUT=VALUE",
        help="change an input; NODE is a node's id, title or class name, with or without ConceptAtelier in front "
        "(may be repeated)",
    )
    parser.add_argument(
        "--prompt-seed",
        type=int,
        default=0,
        metavar="N",
        help="which alternatives of {one|other} the prompts of a UI workflow take (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, default=Path("output"), help="folder for results (default: %(default)s)")
    parser.add_argument(
        "--input", type=Path, help="folder with pictures (default: input, here and beside the workflow)"
    )
    parser.add_argument(
        "--over",
        type=_override,
        metavar="NODE.INPUT=FOLDER",
        help="run once for every picture of a folder, each into a folder of its own below --out; "
        "pictures that are finished already are not done again, also where a file that the workflow reads, such as a "
        "LoRA, was changed: choose another --out then",
    )
    parser.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="with --over: ray works over a Ray cluster"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--debug", action="store_true", help="show where in the code an error came from")


def load() -> None:
    """Import what a run needs, which takes seconds."""
    from ..host.workflow import folder_runs  # noqa: F401
    from ..nodes import headless  # noqa: F401


def main(args: argparse.Namespace) -> int:
    """Run the command; returns the exit status: 0, 1 for an error, 130 when it was interrupted."""
    from ..host.shared.progress import InterruptedRun
    from ..host.workflow.execution import NodeFailedError
    from ..host.workflow.graph import WorkflowError
    from ..host.workflow.runner import run_workflow
    from ..host.workflow.terminal import Quiet, TerminalBar
    from ..nodes.headless import HEADLESS_NODES

    try:
        if args.over:
            return _run_over(args)
        result = run_workflow(
            args.workflow,
            dict(args.overrides),
            args.out,
            input=args.input,
            nodes=HEADLESS_NODES,
            reporter=Quiet() if args.quiet else TerminalBar(),
            prompt_seed=args.prompt_seed,
        )
    except (WorkflowError, NodeFailedError, OSError, ModuleNotFoundError) as error:
        if args.debug:
            traceback.print_exc()
        if isinstance(error, NodeFailedError):
            _say_all(error.said)
        said = str(error)
        _say(said if str(args.workflow) in said else f"{args.workflow}: {said}", sys.stderr)
        return 1
    except InterruptedRun as stopped:
        _say(str(stopped), sys.stderr)
        return INTERRUPTED
    except KeyboardInterrupt:
        _say("stopped at once; files that were being written are not there", sys.stderr)
        return INTERRUPTED
    _report(result)
    return 0


def _run_over(args: argparse.Namespace) -> int:
    """Run for every picture of a folder; returns 1 when a picture failed."""
    from ..core.messages import listed
    from ..host.workflow.folder_runs import FolderRun, run_folder
    from ..nodes.headless import HEADLESS_NODES

    target, folder = args.over
    job = FolderRun(
        args.workflow,
        target,
        Path(folder),
        args.out,
        dict(args.overrides),
        args.input,
        args.prompt_seed,
        HEADLESS_NODES,
    )
    done = []
    for run in run_folder(job, args.engine, note=_note):
        done.append(run)
        if run.error is not None:
            _say(f"{run.name}: {run.error}", sys.stderr)
        elif not args.quiet:
            _say(f"{run.name}: {'finished before' if run.kept else f'{len(run.files)} files'}", sys.stdout)
    failed = [run.name for run in done if run.error is not None]
    if failed:
        _say(f"left out: {len(failed)} of {len(done)} pictures ({listed(failed)})", sys.stderr)
    return 1 if failed else 0


def split_override(text: str) -> tuple[str, str]:
    """``NODE.INPUT=VALUE`` to ``("NODE.INPUT", "VALUE")``. Raises ``ValueError`` for anything else."""
    target, equals, value = text.partition("=")
    node, dot, name = target.rpartition(".")
    if not (equals and dot and node and name):
        raise ValueError(f"expected NODE.INPUT=VALUE, for instance 3.seed=7 or KSampler.steps=20, got {shown(text)}")
    return target, value


def _override(text: str) -> tuple[str, str]:
    try:
        return split_override(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _report(result: "RunResult") -> None:
    for warning in first_of(result.warnings):
        _note(warning)
    _say_all(result.said())
    for key, reason in result.blocked.items():
        _say(f"{result.graph[key]} was not run: {reason}", sys.stderr)
    for path in result.files:
        _say(str(path), sys.stdout)


def _say_all(texts: Sequence[str]) -> None:
    for text in texts:
        _say(text, sys.stdout)


def _note(text: str) -> None:
    _say(f"note: {text}", sys.stderr)


def _say(text: str, stream: TextIO) -> None:
    stream.write(f"{printable(text)}\n")
    stream.flush()
