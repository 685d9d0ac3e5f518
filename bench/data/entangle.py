"""``bench entangle``: is a token that learnt its background found, and does the concept mask loss mend it?

Each case is a few pictures of one thing, all on the same background. Its token is learnt three times: with masks of the
whole picture, which bind it to the background; with the thing's own masks; and with these and the concept mask loss.
Audit Focus then says how much of the attention to the token lies outside the thing, beside the thing's own name.
Entanglement counts as found where that is more than the name's by a margin, and as mended where the token with the mask
loss is within it.
"""

import argparse
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ...core.attribute.focus import audit_focus
from ...core.backbone import Backbone, Placeholders
from ...core.learn.registry import METHODS
from ...core.localize.given_masks import localize_masks
from ...core.localize.parts.settings import SMALL_GRID
from ...core.types import ConceptTokens, Source
from ...lab.world.atlas import load_atlas
from ...lab.world.backgrounds import sample_background
from ...lab.world.scene import Look, Scene, SceneSettings, compose
from ..cases import SEEDS_PER_RUN, Case, case_of
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
VERDICTS = {
    "found": "entanglement is found",
    "mended": "of what is found, mended by the mask loss",
    "alone": "of what is found, mended by its own mask alone",
}


def planted(split: str, seed: int, count: int) -> tuple[str, list[Case]]:
    """The name of a thing, and pictures of it that all have the same background."""
    rng, atlas = random.Random(f"entangle:{split}:{seed}"), load_atlas()
    kind = rng.choice(atlas.of_split("train"))
    background, look = sample_background(rng, 0.5), Look(kind.name, atlas.styles[0], None, kind.name)
    cases = []
    for _ in range(count):
        picture, objects = compose(rng, [look], background, SceneSettings(counts=(1,), size=(SIDE, SIDE)))
        cases.append(case_of(Scene(picture, "", objects, background), seed))
    return kind.name, cases


def measure(backbone: Backbone, request: Request, index: int) -> Row:
    """One thing on one background."""
    own_seed = request.seed * SEEDS_PER_RUN + index
    name, cases = planted(request.split, own_seed, int(request.options["pictures"]))
    row: Row = {"seed": own_seed, "thing": name, "name": outside(backbone, cases, name, {}, own_seed)}
    for way in ("whole", "own", "loss"):
        tokens = _learnt(backbone, name, cases, way, request.options, own_seed)
        row[way] = outside(backbone, cases, TOKEN, tokens.placeholders(), own_seed)
    row["found"] = float(row["whole"] > row["name"] + MARGIN)
    mended = {said: float(row[way] <= row["name"] + MARGIN) for said, way in (("mended", "loss"), ("alone", "own"))}
    return row | mended


def _learnt(
    backbone: Backbone, name: str, cases: Sequence[Case], way: str, options: Mapping[str, Any], seed: int
) -> ConceptTokens:
    """The token of the thing, by one of the ways."""
    method = METHODS[options["method"]]
    settings = replace(method.preset("small"), **options.get("set", {}))
    settings = replace(settings, mask_weight=float(options["mask_weight"]) if way == "loss" else 0.0)
    first, *more = (_source(backbone, case, way) for case in cases)
    return method.learn(backbone, first.picture, first.concepts, settings, words={"1": name}, seed=seed, more=more)


def _source(backbone: Backbone, case: Case, way: str) -> Source:
    masks = case.masks.float()
    masks = torch.ones_like(masks) if way == "whole" else masks
    return Source(
        case.picture, localize_masks(backbone, case.picture, masks, SMALL_GRID, case.seed, ["1"], "attention")
    )


def outside(backbone: Backbone, cases: Sequence[Case], word: str, placeholders: Placeholders, seed: int) -> float:
    """The share of the attention to a word that lies outside the thing, on average over the pictures."""
    text, shares = TEXT.format(word), []
    for case in cases:
        latent, mask = backbone.encode_image(case.picture), case.masks[0].float()
        shares.append(audit_focus(backbone, latent, text, word, mask, 3, seed=seed, placeholders=placeholders).share)
    return sum(shares) / len(shares)


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Means with intervals over cases; what is mended counts among what was found."""
    held: dict[str, Any] = {name: interval([row[name] for row in rows], request.seed) for name in (*SHARES, "found")}
    for said in ("mended", "alone"):
        values = [row[said] for row in rows if row["found"]]
        held[said] = interval(values, request.seed) if values else None
    return {"entangled": held}


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
    parser.add_argument("--pictures", type=int, default=4, help="of the thing on its background (default: %(default)s)")
    parser.add_argument("--mask-weight", type=float, default=0.01, help="of the mask loss (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=0, help="of learning; 0 keeps the preset's (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    options = {"method": args.method, "pictures": args.pictures, "mask_weight": args.mask_weight}
    return run_command(BENCH, args, options | ({"set": {"steps": args.steps}} if args.steps else {}))


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The means."""
    return {name: means(group) for name, group in summary.items()}


BENCH = Bench("entangle", 2, backbone_for, measure, figures, table, headline)
