"""``python -m concept_atelier lab ...``: train the parts of the lab model, put them together, show them."""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

DEFAULT_RUNS = Path("~/.cache/concept-atelier/lab").expanduser()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The ``lab`` command's own arguments."""
    actions = parser.add_subparsers(dest="action", required=True)
    train = actions.add_parser("train", help="train a part, or go on training it")
    train.add_argument("part", choices=("vae", "text", "unet", "judge"))
    train.add_argument("--samples", type=int, help="samples in all; the default is the recipe's")
    train.add_argument(
        "--start", type=Path, metavar="MODEL", help="begin a new run with the weights of this model folder"
    )
    train.add_argument(
        "--workers", type=int, default=1, help="processes that share the work (denoiser only; default: %(default)s)"
    )
    publish = actions.add_parser("publish", help="gather the trained parts into the model folder that ships")
    publish.add_argument("--to", type=Path, help="model folder; the default is the pack's own")
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
        from ..model.weights import WEIGHTS, publish

        publish(args.runs, args.to or WEIGHTS)
    elif args.action == "page":
        from ..page import DOCS, write_cards, write_page

        write_cards(args.to or DOCS)
        write_page(args.to or DOCS)
    elif args.action == "methods":
        from ..method_sheets import DOCS, SHEETS, write_sheets

        write_sheets(args.to or DOCS, args.names or tuple(SHEETS))
    else:
        train(args.part, args.runs, args.samples, args.start, args.workers)
    return 0


def train(part: str, runs: Path, samples: int | None, start: Path | None = None, workers: int = 1) -> None:
    """Train one part in its folder under ``runs``.

    Raises:
        ValueError: for a part that cannot begin with given weights, or be shared among workers.
    """
    if start is not None and part == "vae":
        raise ValueError("the autoencoder is trained from scratch; --start is for text, unet and judge")
    if workers != 1 and part != "unet":
        raise ValueError(f"only the denoiser's training is shared among workers; {part} was asked for")
    if part == "vae":
        from .vae import VaeSettings, train_vae

        train_vae(runs / "vae", replace(VaeSettings(), **({"samples": samples} if samples else {})))
    elif part == "text":
        from .text import TextSettings, train_text

        train_text(runs / "text", replace(TextSettings(), **({"samples": samples} if samples else {})), start)
    elif part == "judge":
        from .judge import JudgeSettings, train_judge

        recipe = replace(JudgeSettings(), **({"samples": samples} if samples else {}))
        train_judge(runs / "judge", runs / "vae/vae.safetensors", recipe, start)
    else:
        from .unet import UnetInputs, UnetSettings, train_unet

        settings = UnetSettings()
        if samples:
            last = replace(settings.stages[-1], until=samples)
            settings = replace(settings, stages=(*settings.stages[:-1], last))
        inputs = UnetInputs(runs / "vae/vae.safetensors", runs / "text/text_encoder.safetensors", start)
        train_unet(runs / "unet", inputs, settings, workers)
