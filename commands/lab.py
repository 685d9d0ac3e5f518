"""``python -m concept_atelier lab ...``: train the parts of the lab model, put them together, show them."""

import argparse
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..training.machine import CPU, Machine

PARTS = ("vae", "unet", "transformer", "tower", "judge", "counter")
SHARED = ("unet", "transformer")
DEFAULT_RUNS = Path("~/.cache/concept-atelier/lab").expanduser()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The ``lab`` command's own arguments."""
    actions = parser.add_subparsers(dest="action", required=True)
    train = actions.add_parser("train", help="train a part, or go on training it; all: every part in --minutes")
    train.add_argument("part", choices=(*PARTS, "all"))
    train.add_argument("--samples", type=int, help="samples in all; the default is the recipe's")
    train.add_argument("--minutes", type=float, help="time in all, whichever ends first")
    train.add_argument(
        "--start",
        type=Path,
        metavar="MODEL",
        help="begin a new run with the weights of this model folder; the transformer: with its UNet as teacher, too; "
        "the counter: for this folder's judge",
    )
    train.add_argument("--device", default="cpu", help="where to train, as torch names it (default: %(default)s)")
    train.add_argument(
        "--drawers",
        type=int,
        help="processes that draw scenes while others are trained on; by default none on a CPU, else one a core",
    )
    train.add_argument(
        "--workers", type=int, default=1, help="processes that share the work (denoisers only; default: %(default)s)"
    )
    publish = actions.add_parser("publish", help="gather the trained parts into the model folder that ships")
    publish.add_argument("--to", type=Path, help="model folder; the default is the pack's own")
    publish.add_argument(
        "--transformer", action="store_true", help="only the transformer, into a folder with the model it learnt from"
    )
    publish.add_argument(
        "--counter", action="store_true", help="only the counter, into a folder with the judge it learnt from"
    )
    page = actions.add_parser("page", help="draw docs/lab.md, the world and what methods do in it, and write the cards")
    page.add_argument("--to", type=Path, help="folder; the default is the pack's docs")
    methods = actions.add_parser("methods", help="draw docs/methods/*.jpg: one scene learnt by every method")
    methods.add_argument("--to", type=Path, help="folder; the default is the pack's docs")
    methods.add_argument("names", nargs="*", help="sheets to draw; all of them by default")
    for action in (train, publish):
        action.add_argument(
            "--runs", type=Path, default=DEFAULT_RUNS, help="folder of training runs (default: %(default)s)"
        )


def main(args: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if args.action == "publish":
        from ..lab.model.weights import WEIGHTS, publish, publish_counter, publish_transformer

        wanted = publish_transformer if args.transformer else publish_counter if args.counter else publish
        wanted(args.runs, args.to or WEIGHTS)
    elif args.action == "page":
        from ..tools.pages.page import DOCS, write_cards, write_page

        write_cards(args.to or DOCS)
        write_page(args.to or DOCS)
    elif args.action == "methods":
        from ..tools.pages.method_sheets import DOCS, SHEETS, write_sheets

        write_sheets(args.to or DOCS, args.names or tuple(SHEETS))
    else:
        drawers = args.drawers if args.drawers is not None else 0 if args.device == "cpu" else os.cpu_count() or 1
        length = {key: value for key in ("samples", "minutes") if (value := getattr(args, key))}
        train(args.part, args.runs, length, args.start, Machine(args.device, drawers), args.workers)
    return 0


def train(
    part: str,
    runs: Path,
    length: Mapping[str, float],
    start: Path | None = None,
    machine: Machine = CPU,
    workers: int = 1,
) -> None:
    """Train one part in its folder under ``runs``, or all of them.

    Args:
        length: ``samples`` or ``minutes``, in place of the recipe's.

    Raises:
        ValueError: for a part that cannot begin with given weights or be shared among workers, and for all of them
            without a time.
    """
    if start is not None and part == "tower":
        raise ValueError("the image tower is trained anew for every text encoder; leave out --start")
    if workers != 1 and part not in SHARED:
        raise ValueError(f"only a denoiser's training is shared among workers; {part} was asked for")
    vae = runs / "vae/vae.safetensors"
    if part == "all":
        from ..training.everything import train_everything

        if "minutes" not in length:
            raise ValueError("training every part needs a time, as in --minutes 10")
        train_everything(runs, length["minutes"], machine, start)
    elif part == "vae":
        from ..training.vae import VaeSettings, train_vae

        train_vae(runs / "vae", replace(VaeSettings(), **length), start, machine)
    elif part == "tower":
        from ..training.tower import TowerSettings, train_tower

        text = runs / "unet/text_encoder.safetensors"
        train_tower(runs / "tower", text, replace(TowerSettings(), **length), machine)
    elif part == "judge":
        from ..training.judge import JudgeSettings, train_judge

        train_judge(runs / "judge", vae, replace(JudgeSettings(), **length), start, machine)
    elif part == "counter":
        from ..lab.model.weights import FILES, JUDGE_FILE
        from ..training.counter import CounterSettings, train_counter

        judge = runs / JUDGE_FILE
        if start is not None:
            vae, judge = start / FILES["vae"], start / JUDGE_FILE
        train_counter(runs / "counter", vae, judge, replace(CounterSettings(), **length), machine)
    elif part == "transformer":
        from ..lab.model.transformer import TRANSFORMER_FILE
        from ..training.transformer import TransformerInputs, settings_for, train_transformer

        inputs = TransformerInputs(machine=machine)
        if start is not None:
            inputs = TransformerInputs(start, machine, goes_on=(start / TRANSFORMER_FILE).exists())
        train_transformer(runs / "transformer", inputs, replace(settings_for(machine.device), **length), workers)
    else:
        from ..training.unet import UnetInputs, UnetSettings, train_unet

        train_unet(runs / "unet", UnetInputs(vae, start, machine), replace(UnetSettings(), **length), workers)
