"""The command line: ``python -m concept_atelier run | demo | lab | bench``."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from .host.shared.interrupts import INTERRUPTED, leave, on_stop, stop_here

COMMANDS = {
    "run": ("run a workflow without ComfyUI", "commands.run"),
    "lab": ("train and publish the lab model", "commands.lab"),
    "demo": ("run the workflows on the lab model and show what came out", "commands.demo"),
    "bench": ("measure methods against known answers", None),
}
BENCHES = {
    "lab": ("how good the lab model and its judge are", "bench.lab"),
    "localize": ("how well pictures are taken apart", "bench.localize.localize"),
    "words": ("how well heat maps of words fit what the words are said of", "bench.words.words"),
    "match": ("whether concepts are found again in another picture", "bench.localize.match"),
    "score": ("whether Score Concepts tells objects apart", "bench.score"),
    "learn": ("how well learnt tokens redraw what they stand for", "bench.learn.learn"),
    "attack": ("whether erased concepts come back by other ways than their names", "bench.erase.attack"),
    "erase": ("whether erased concepts are gone and their neighbours are not", "bench.erase.erase"),
    "explain": ("whether ingredients that were found unasked are what pictures are made of", "bench.explain.explain"),
    "audit": ("whether an audit finds what was withheld, over-represented and copied", "bench.explain.audit"),
    "steer": ("whether what is replaced or attenuated is gone, and what others lose", "bench.explain.steer"),
    "importance": ("whether ingredients that matter are those of the object", "bench.explain.importance"),
    "segment": ("whether few words that a picture shows divide it better than many", "bench.recognise.segment"),
    "recognise": ("whether subjects and classes are recognised and captions completed", "bench.recognise.recognise"),
    "decompose": ("whether embeddings are named rightly, and edited as asked", "bench.recognise.decompose"),
    "data": ("whether captions that were exchanged are found", "bench.data.data"),
    "weights": ("whether weights of pictures help to learn from wrong captions", "bench.data.weights"),
    "entangle": ("whether a token that learnt its background is found, and mended", "bench.data.entangle"),
    "damp": ("whether a picture changes where the map of a damped word is", "bench.words.damp"),
    "prompts": ("what phrase weights and the locality of attention do for colours", "bench.prompts"),
    "surgery": ("what carries a skill, how two go into one model, and words inside", "bench.surgery.surgery"),
    "compose": (
        "whether several concepts stand in one picture, each with its colour and place",
        "bench.compose.compose",
    ),
    "ranking": ("learning methods beside one another, and what their papers claim", "bench.learn.ranking"),
    "all": ("every bench whose figures stand in the docs, one after the other", "bench.all.all"),
    "cost": ("what nodes cost in time and memory beside the plain model", "bench.cost.cost"),
}


def build_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for ``argv``. Only the command that is named gets its arguments: the others' modules may be slow."""
    parser = argparse.ArgumentParser(prog="concept_atelier", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    words = [word for word in argv if not word.startswith("-")]
    for name, (summary, module) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if module is not None:
            _fill(command, module, named=words[:1] == [name])
    benches = commands.choices["bench"].add_subparsers(dest="bench", required=True, metavar="BENCH")
    for name, (summary, module) in BENCHES.items():
        bench = benches.add_parser(name, help=summary, description=summary)
        _fill(bench, module, named=words[:2] == ["bench", name])
    return parser


def _fill(parser: argparse.ArgumentParser, module: str, named: bool) -> None:
    parser.set_defaults(module=module, run=main)
    if named:
        _load(module).add_arguments(parser)


def _load(module: str) -> Any:
    try:
        return importlib.import_module(f".{module}", __package__)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(f"{__package__}."):
            raise
        sys.exit(f"this command comes with the repository only, not with the published pack (there is no {error.name})")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status, 130 when Ctrl-C or SIGTERM ended it."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with on_stop(stop_here):
            with on_stop(leave):
                from .host.workflow.terminal import show_any_letter  # takes a tenth of a second to load

                show_any_letter(sys.stdout, sys.stderr)
                args = build_parser(arguments).parse_args(arguments)
                module = _load(args.module)
                getattr(module, "load", lambda: None)()
            return module.main(args)
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
