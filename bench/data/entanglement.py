"""``bench entangle``: is a token that learnt its background found, and does the concept mask loss mend it?

Each case is one thing on one background. Its token is learnt three times: with a mask of the whole picture, which binds
it to the background; with its own mask; and with its own mask and the concept mask loss. Audit Focus then says how much
of the attention to the token lies outside the thing, beside the thing's own name. Entanglement counts as found where
that is more than the name's by a margin, and as mended where the token with the mask loss is within it.
"""

import argparse
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ...core.attribute.focus import audit_focus
from ...core.backbone import Backbone
from ...core.learn.registry import METHODS
from ...core.localize.given_masks import localize_masks
from ...core.localize.parts.settings import SMALL_GRID
from ...lab.world.atlas import load_atlas
from ..cases import SEEDS_PER_RUN, Case, composed_case
from ..command import add_common_arguments, backbone_for, run_command
from ..drawing import SIDE
from ..harness import Bench, Request, Row
from ..summary import aligned, interval, means, with_interval

MARGIN = 0.05
TEXT, TOKEN = "a photo of {}", "<1>"
SHARES = {
    "name": "attention outside the thing: its name",
    "whole": "token learnt with a mask of the whole picture",
    "own": "token learnt with its own mask",
    "loss": "token learnt with the concept mask loss, too",
}
VERDICTS = {"found": "entanglement is found", "mended": "of what is found, mended by the mask loss"}


def measure(backbone: Backbone, request: Request, index: int) -> Row:
    """One thing on one background."""
    own_seed = request.seed * SEEDS_PER_RUN + index
    rng = random.Random(f"entangle:{request.split}:{own_seed}")
    atlas = load_atlas()
    kind = rng.choice(atlas.of_split("train"))
    case = composed_case(rng, [kind], [atlas.styles[0]], own_seed, (SIDE, SIDE))
    method = METHODS[request.options["method"]]
    settings = replace(method.preset("small"), **request.options.get("set", {}))
    weight = float(request.options["mask_weight"])
    row: Row = {"seed": own_seed, "thing": kind.name, "name": outside(backbone, case, kind.name, {}, own_seed)}
    for way in ("whole", "own", "loss"):
        masks = torch.ones_like(case.masks.float()) if way == "whole" else case.masks.float()
        concepts = localize_masks(backbone, case.picture, masks, SMALL_GRID, case.seed, ["1"], "attention")
        chosen = replace(settings, mask_weight=weight if way == "loss" else 0.0)
        tokens = method.learn(backbone, case.picture, concepts, chosen, words={"1": kind.name}, seed=own_seed)
        row[way] = outside(backbone, case, TOKEN, tokens.placeholders(), own_seed)
    row["found"] = float(row["whole"] > row["name"] + MARGIN)
    return row | {"mended": float(row["loss"] <= row["name"] + MARGIN)}


def outside(backbone: Backbone, case: Case, word: str, placeholders: Any, seed: int) -> float:
    """The share of the attention to a word that lies outside the thing."""
    latent = backbone.encode_image(case.picture)
    text, mask = TEXT.format(word), case.masks[0].float()
    return audit_focus(backbone, latent, text, word, mask, 3, seed=seed, placeholders=placeholders).share


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Means with intervals over cases; what is mended counts among what was found."""
    held = {name: interval([row[name] for row in rows], request.seed) for name in (*SHARES, "found")}
    mended = [row["mended"] for row in rows if row["found"]]
    return {"entangled": held | {"mended": interval(mended, request.seed) if mended else None}}


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    summary = result["summary"]["entangled"]
    rows = [[said, with_interval(summary[name])] for name, said in (SHARES | VERDICTS).items()]
    head = f"bench entangle: {result['cases']} cases, {result['options']['method']}, {result['split']} split"
    return f"{head}, seed {result['seed']}; 95% intervals\n{aligned(rows)}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench entangle``."""
    add_common_arguments(parser, cases=4)
    parser.add_argument("--method", choices=list(METHODS), default="conceptexpress", help="default: %(default)s")
    parser.add_argument("--mask-weight", type=float, default=0.01, help="of the mask loss (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=0, help="of learning; 0 keeps the preset's (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    options = {"method": args.method, "mask_weight": args.mask_weight}
    return run_command(BENCH, args, options | ({"set": {"steps": args.steps}} if args.steps else {}))


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The means."""
    return {name: means(group) for name, group in summary.items()}


BENCH = Bench("entangle", 1, backbone_for, measure, figures, table, headline)
