"""``bench steer``: is an object gone where its ingredient is replaced or attenuated, and what do others lose?

Ingredients are found in a folder of scenes. For one of its objects the ingredient that tells its pictures best is
chosen, with the answers at hand. Then the object and the other objects of the folder are drawn from the same noise: as
they are, with the ingredient replaced, with the best three replaced, with it attenuated, and by a model from which
Erase Concepts took the object's name. The judge says what is in the pictures.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.explain.attenuation import posteriors_of
from ...core.explain.bank import ConceptCodes
from ...core.explain.probe import auroc
from ...core.explain.recording import record_denoiser
from ...core.explain.registry import METHODS, encode
from ...core.explain.steering import Steering
from ...host.adapters import backbone_of, encode_prompt, with_erasure, with_guard, with_text_erasure
from ...host.headless.sampling import sample
from ..command import add_common_arguments, run_command
from ..drawing import GUIDANCE, SIDE, STEPS
from ..erase.parts import Parts, erasure_of, prepare
from ..harness import Bench, Request, Row
from ..summary import aligned, interval, with_interval
from .folders import Folder, make_folder

PICTURES, COUNT, DRAWN, SEVERAL = 100, 64, 4, 3
"""Of a folder; ingredients; pictures of the object; ingredients that are replaced together."""
WAYS = {
    "plain": "the model as it is",
    "replace": "Steer Ingredients, replace",
    "replace_three": "Steer Ingredients, replace three",
    "attenuate": "Steer Ingredients, attenuate",
    "erase": "Erase Concepts (uce)",
}
FIGURES = {"target": "the object is still found", "others": "other objects are found"}


def measure(parts: Parts, request: Request, index: int) -> Row:
    """One object: the share of pictures in which it, and others, are found by each way."""
    options = request.options
    folder = make_folder(request.split, index, request.seed, int(options.get("pictures", PICTURES)))
    objects = [word for kind, word in folder.factors if kind == "object"]
    activations = record_denoiser(parts.backbone, folder.pictures)
    method = METHODS[options.get("find", "ra_sae")]
    bank = method.bank(activations, int(options.get("count", COUNT)), method.preset("small"), seed=index, seeds=1)
    codes = encode(bank, activations)
    word, others = objects[0], objects[1:]
    shown = folder.present(("object", word))
    ingredients = _best(codes, shown)
    asked = [word] * DRAWN + others
    found: Row = {"object": word, "ingredient": ingredients[0] + 1}
    for way in WAYS:
        model, clip = _model(parts, request, way, codes, ingredients, folder, objects)
        seen = parts.judge.found(parts.judge.look(_drawn(parts, model, clip, asked, index)))
        there = [kind in seen[row] for row, kind in enumerate(asked)]
        found[way] = {
            "target": sum(there[:DRAWN]) / DRAWN,
            "others": sum(there[DRAWN:]) / max(1, len(others)),
        }
    return found


def _best(codes: ConceptCodes, shown: Tensor) -> tuple[int, ...]:
    """The ingredients that tell best which pictures show the object, the best first."""
    scores = torch.stack([auroc(column, shown) for column in codes.scores().T])
    return tuple(scores.argsort(descending=True, stable=True)[:SEVERAL].tolist())


def _model(
    parts: Parts,
    request: Request,
    way: str,
    codes: ConceptCodes,
    ingredients: tuple[int, ...],
    folder: Folder,
    objects: Sequence[str],
) -> tuple[Any, Any]:
    """MODEL and CLIP of a way."""
    if way == "plain":
        return parts.model, parts.clip
    if way == "erase":
        erasure = erasure_of(parts.backbone, request, [objects[0]], sorted(objects[1:]))
        return with_erasure(parts.model, erasure), with_text_erasure(parts.clip, erasure)
    shown = folder.present(("object", objects[0]))
    posteriors = None
    if way == "attenuate":
        posteriors = posteriors_of(parts.backbone, codes.bank, folder.pictures[shown], folder.pictures[~shown])
    empty = parts.backbone.encode_text([""])
    steering = Steering(
        codes.bank,
        ingredients if way == "replace_three" else ingredients[:1],
        "attenuate" if way == "attenuate" else "replace",
        empty,
        empty,
        threshold=float(request.options.get("threshold", 0.5)),
        posteriors=posteriors,
    )
    return with_guard(parts.model, steering), parts.clip


def _drawn(parts: Parts, model: Any, clip: Any, words: Sequence[str], seed: int) -> Tensor:
    """(P, 3, H, W): one picture a word, each from noise of its own, the same for every way."""
    backbone = backbone_of(model, clip, parts.vae)
    cells = SIDE // backbone.latent_downscale
    empty, made = encode_prompt(clip, "", {}), []
    for number, word in enumerate(words):
        latent = {"samples": torch.zeros(1, 4, cells, cells)}
        text = encode_prompt(clip, f"a photo of a {word}", {})
        held = sample(model, text, empty, latent, seed=1000 * seed + number, steps=STEPS, cfg=GUIDANCE)["samples"]
        made.append((parts.vae.vae.decode(held) + 1).div(2).clamp(0, 1))
    return torch.cat(made)


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Way to means with intervals over objects."""
    return {way: {name: interval([row[way][name] for row in rows], request.seed) for name in FIGURES} for way in WAYS}


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    summary = result["summary"]
    rows = [[said, *(with_interval(summary[way][name]) for name in FIGURES)] for way, said in WAYS.items()]
    head = f"bench steer: {result['cases']} {result['split']} objects, {DRAWN} pictures each; 95% intervals"
    return f"{head}\n{aligned([['', *FIGURES.values()], *rows])}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench steer``."""
    add_common_arguments(parser, cases=8)
    parser.add_argument(
        "--find", choices=METHODS, default="ra_sae", help="how ingredients are found (default: %(default)s)"
    )
    parser.add_argument("--count", type=int, default=COUNT, help="ingredients (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=PICTURES, help="of a folder (default: %(default)s)")
    parser.add_argument("--threshold", type=float, default=0.5, help="of replace (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    names = ("find", "count", "pictures", "threshold")
    return run_command(BENCH, args, {name: getattr(args, name) for name in names})


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The means."""
    return {way: {name: value["mean"] for name, value in of.items()} for way, of in summary.items()}


BENCH = Bench("steer", 2, prepare, measure, figures, table, headline)
