"""``bench compose``: several concepts, each with its own colour and place, in one picture.

Each case asks for two, three or four objects in turn, each in a colour and in a box of its own. The judge says which
objects the picture shows, in which colours, and where. ``--method plain`` draws the prompt alone, ``area`` with stock
area conditioning. ``world`` pastes icons of the lab's world into the boxes, for comparison. ``--alike`` asks
for two of one kind in two colours, ``--learnt`` for tokens that were learnt from a picture of the objects, ``--loras``
for two objects, each with a token and a change of the model from a picture of its own, and ``--styled`` for a style of
the whole picture beside the objects. ``--boxes squares`` gives each object a square, half as wide and high as the
picture, in place of half a picture. One object alone is drawn by the method and by the plain prompt, so that what
composing costs a single concept shows. ``similarities`` draws the prompt after Correction by Similarities.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core.backbone import Backbone
from ...core.compose.composer import Run, leave, share_of
from ...core.compose.composition import Composition, Concept, compose
from ...core.compose.methods.t2i_zero import SimilaritySettings
from ...core.compose.parts.adapters import SiteRole, entries
from ...core.compose.registry import METHODS
from ...core.learn.engine.passes import counted_passes
from ...core.sampling import ddim
from ...core.types import LowRank
from ...lab.judge.judge import Judge, load_judge
from ..cases import SEEDS_PER_RUN
from ..command import add_common_arguments, add_settings_argument, backbone_for, chosen_settings, run_command
from ..controls import Control
from ..drawing import GUIDANCE, SIDE, STEPS, unconditional
from ..harness import Bench, Request, Row
from ..summary import aligned, interval, means, with_interval
from .areas import predict_in_areas
from .cases import BOXES, COUNTS, SHAPES, TILES, Box, Wanted, mask_of
from .corrected import corrected
from .learning import asked_for
from .reading import answers, exact, leak_matrix
from .world import picture_in_boxes

PLAIN, AREA, WORLD, SIMILARITIES = "plain", "area", "world", "similarities"
BASELINES = (PLAIN, AREA, WORLD)
"""Ways without a method, which have no settings."""
MOST_LOST = 0.03
"""Of single-concept fidelity, that a way of composing may lose."""

LEAST_IOU = 0.6
"""Of objects and their boxes, on average."""

KINDS = ("alike", "learnt", "loras", "styled")
"""What may be asked for in place of objects of several kinds by name."""

FIGURES = {
    "exact": "exactly those objects, each once",
    "exact_2": "of them, two objects",
    "exact_3": "three",
    "exact_4": "four",
    "found": "share of the objects that are found",
    "colours": "share of the objects found, in their own colour",
    "placed": "share of the objects found, with the middle in their own box",
    "leak": "share of an object's cells in the boxes of others",
    "iou": f"region IoU: of an object's cells and its own box (aim: {LEAST_IOU:g})",
    "iou_found": "of an object's cells and the place that its words found",
    "identity": "likeness of an object to the picture it was learnt from, of 1",
    "style": "share of the objects found, in the style of the whole picture",
    "one": "one object alone: exactly that",
    "lost": f"lost of that against the plain prompt (aim: {MOST_LOST:g} at most)",
    "passes": "latents that go through the model for one picture, whole or in part",
    "seconds": "processor seconds for one picture",
}


Prepared = tuple[Backbone, Judge, Path | None]
"""What every case needs: the model, the judge, and the folder of the tokens that ways of composing share, if any."""


def prepare(request: Request, kept: Path | None = None) -> Prepared:
    """The model, the judge, and the folder."""
    return backbone_for(request), load_judge(), kept


def measure(prepared: Prepared, request: Request, index: int) -> Row:
    """One case: what was asked, what the judge sees, and what drawing it took."""
    backbone, judge, kept = prepared
    own_seed, options = request.seed * SEEDS_PER_RUN + index, request.options
    asked = asked_for(backbone, request, index, own_seed, kept)
    several, one = asked.several, asked.one
    row: Row = {"seed": own_seed, "prompt": several.prompt}
    alone = draw(backbone, one, options, own_seed).picture
    plain = alone if options["method"] == PLAIN else draw(backbone, one, {"method": PLAIN}, own_seed).picture
    drawn = draw(backbone, several, options, own_seed)
    reading = judge.look(drawn.picture)
    (found,) = judge.found(reading)
    sources = torch.stack([source.described(judge) for source in asked.sources]) if asked.sources else None
    row |= {"asked": [kind.name for kind in several.kinds], "found": sorted(found)}
    row |= {"exact": exact(judge, reading, several, found)}
    row |= {"objects": answers(judge, reading, several, found, drawn.places, sources)}
    both = judge.found(judge.look(torch.cat([alone, plain])))
    shown, by_prompt = (float(names == {one.kinds[0].name}) for names in both)
    return row | {"one": shown, "lost": by_prompt - shown, "passes": drawn.passes, "seconds": drawn.seconds}


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture, and what drawing it took.

    Attributes:
        picture: (1, 3, H, W) in 0..1.
        passes: latents that went through the model, of which some may have ended early or held a part of the picture.
        seconds: of the processor.
        places: (R, h, w) in 0..1 of the objects, in the latent's cells, where their words found them; None otherwise.
    """

    picture: Tensor
    passes: int
    seconds: float
    places: Tensor | None


@torch.no_grad()
def draw(backbone: Backbone, asked: Wanted, options: Mapping[str, Any], seed: int) -> Drawn:
    """The picture by the way of composing that the options name."""
    if options["method"] == WORLD:
        return Drawn(picture_in_boxes(asked, seed), 0, 0.0, None)
    cell = SIDE // backbone.latent_downscale
    sizes: dict[str, Any] = {"steps": STEPS, "guidance": GUIDANCE, "seed": [seed]}
    negative, started = unconditional(backbone), time.process_time()
    run: Run | None = None
    with counted_passes(backbone) as passes, ExitStack() as changed:
        if options["method"] in (PLAIN, AREA, SIMILARITIES):
            for adapter in asked.adapters:  # of the whole picture, as LoRA loaders put them in force
                changed.enter_context(backbone.adapted(adapter))
            texts, boxes = _texts_and_boxes(asked)
            positive, *others = (backbone.encode_text([text], asked.placeholders) for text in (asked.prompt, *texts))
            if options["method"] == SIMILARITIES:
                positive = corrected(backbone, asked, SimilaritySettings(**options.get("set", {})))
            if options["method"] == AREA:
                sizes["predict"] = predict_in_areas(backbone, positive, others, boxes, negative)
        else:
            composer = METHODS[options["method"]]
            settings = replace(composer.preset(options["preset"]), **options.get("set", {}))
            composition = composition_of(backbone, asked, options["regions"] == "given", composer.needs)
            if not _reads_adapters(composer.needs):
                for adapter in asked.adapters:
                    changed.enter_context(backbone.adapted(adapter))
            run = composer.begin(composition, settings, share_of(backbone.schedule.steps))
            sizes |= {"edit": None if run.edit is leave else run.edit, "before": run.before}
            positive = composition.conditioning
        picture = backbone.decode_latent(ddim(backbone, positive, negative, (cell, cell), **sizes)).clamp(0, 1)
    found = run.places((cell, cell)) if run is not None and options["regions"] == "found" else None
    places = None if found is None else found[0, : len(asked.kinds)]
    return Drawn(picture, passes.count, round(time.process_time() - started, 3), places)


def _texts_and_boxes(asked: Wanted) -> tuple[list[str], list[Box]]:
    """The objects' texts and boxes, and a style's, which lies everywhere."""
    texts, boxes = asked.texts, list(asked.boxes)
    return (texts + [asked.style_text], boxes + [BOXES[1][0][0]]) if asked.whole else (texts, boxes)


def _reads_adapters(needs: Sequence[str]) -> bool:
    """Whether a method that needs this keeps changes of the model to regions."""
    return "texts" in needs or "branches" in needs


def composition_of(backbone: Backbone, asked: Wanted, given: bool, needs: Sequence[str] = ("texts",)) -> Composition:
    """The composition of a case, with the boxes of its objects or without, and with what a method needs of the objects'
    texts. A style lies everywhere. Raises ``ValueError`` for changes of a model that cannot be kept to regions."""
    adapters = _by_layer(backbone, asked) if _reads_adapters(needs) else [{}] * len(asked.kinds)
    concepts = [
        Concept(text, mask_of(box) if given else None, adapter=adapter)
        for text, box, adapter in zip(asked.texts, asked.boxes, adapters, strict=True)
    ]
    if asked.whole:
        concepts.append(Concept(asked.style_text, mask_of(BOXES[1][0][0])))
    branches = "branches" in needs
    beside = branches or "texts" in needs
    return compose(backbone, asked.prompt, concepts, asked.placeholders, texts=beside, branches=branches)


def _by_layer(backbone: Backbone, asked: Wanted) -> list[dict[SiteRole, LowRank]]:
    """The change of the model of each object, by the layers that it acts in."""
    places = entries(backbone)
    if asked.adapters and not places:
        raise ValueError("--loras keeps changes of attention to regions, which needs the lab UNet; leave --model out")
    adapters = asked.adapters or ({},) * len(asked.kinds)
    return [{places[name]: change for name, change in adapter.items()} for adapter in adapters]


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Each figure's mean and interval over pictures, or over objects found; ``leak_matrix`` by number of concepts."""
    objects = [entry for row in rows for entry in row["objects"]]
    there = [entry for entry in objects if entry["found"]]

    def given(name: str) -> list[float]:
        """Of objects found, what not every kind of case says of them."""
        return [float(entry[name]) for entry in there if entry.get(name) is not None]

    values: dict[str, list[float]] = {
        "exact": [float(row["exact"]) for row in rows],
        **{f"exact_{count}": [float(row["exact"]) for row in rows if len(row["asked"]) == count] for count in COUNTS},
        "found": [float(entry["found"]) for entry in objects],
        "colours": given("colour"),
        "placed": given("placed"),
        "leak": given("leak"),
        **{name: given(name) for name in ("iou", "iou_found", "identity", "style")},
        "one": [float(row["one"]) for row in rows],
        "lost": [float(row["lost"]) for row in rows],
        **{name: [float(row[name]) for row in rows if name in row] for name in ("passes", "seconds")},
    }
    summary: dict[str, Any] = {name: interval(found, request.seed) if found else None for name, found in values.items()}
    answered = [row["objects"] for row in rows]
    counts = sorted({len(row) for row in answered})
    summary["leak_matrix"] = {str(count): leak_matrix(answered, count) for count in counts}
    summary["keeps_single_concepts"] = summary["lost"]["mean"] <= MOST_LOST
    return summary


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    summary, options = result["summary"], result["options"]
    rows = [[said, with_interval(summary[name])] for name, said in FIGURES.items()]
    ways = [options["method"], *(kind for kind in KINDS if options.get(kind)), *_shape(options)]
    head = f"bench compose: {' '.join(ways)}, {result['cases']} cases, {result['split']} split, seed {result['seed']}"
    leaks = "".join(_matrix(int(count), matrix) for count, matrix in summary["leak_matrix"].items())
    return f"{head}; 95% intervals\n{aligned([['', 'found'], *rows])}\n{leaks}"


def _shape(options: Mapping[str, Any]) -> list[str]:
    """The shape of the boxes, where it is not the usual one."""
    return [f"boxes {options['boxes']}"] if "boxes" in options else []


def _matrix(count: int, matrix: Sequence[Sequence[float | None]]) -> str:
    head = [f"of {count}: share of", *(f"in box {number}" for number in range(1, count + 1))]
    body = [
        [f"concept {number}", *("-" if share is None else f"{share:.2f}" for share in row)]
        for number, row in enumerate(matrix, 1)
    ]
    return aligned([head, *body]) + "\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench compose``."""
    add_common_arguments(parser, cases=96)
    parser.add_argument("--method", choices=[*METHODS, WORLD, SIMILARITIES], default=PLAIN, help="default: %(default)s")
    parser.add_argument("--preset", default="small", help="of the method; default: %(default)s")
    parser.add_argument("--regions", choices=("given", "found"), default="given", help="default: %(default)s")
    parser.add_argument(
        "--boxes", choices=SHAPES, default=TILES, help="squares: the square in the middle of each half or quarter"
    )
    parser.add_argument("--alike", action="store_true", help="two of one kind in two colours")
    parser.add_argument("--learnt", action="store_true", help="tokens learnt from a picture, in place of names")
    parser.add_argument(
        "--loras", action="store_true", help="two objects, each by a token and a LoRA learnt from a picture of its own"
    )
    parser.add_argument("--styled", action="store_true", help="a style of the whole picture as a further concept")
    add_settings_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    asked = [kind for kind in KINDS if getattr(args, kind)]
    if len(asked) > 1:
        raise ValueError(f"--{asked[0]} and --{asked[1]} ask for different objects; choose one of them")
    if args.method == WORLD and any(kind in ("learnt", "loras") for kind in asked):
        raise ValueError(f"the world draws no learnt tokens; leave out --{asked[0]}, or name another --method")
    options: dict[str, Any] = {"method": args.method}
    if args.method in (*BASELINES, SIMILARITIES):
        settings = args.method not in BASELINES
        if (args.set and not settings) or args.preset != "small" or args.regions != "given":
            has = "presets or regions" if settings else "settings, presets or regions"
            raise ValueError(f"{args.method} has no {has} to choose; name a --method that has")
        options |= {"set": chosen_settings(args, SimilaritySettings())} if args.set else {}
    else:
        chosen = chosen_settings(args, METHODS[args.method].preset(args.preset))
        options |= {"preset": args.preset, "regions": args.regions} | ({"set": chosen} if chosen else {})
    options |= {kind: True for kind in asked}
    options |= {"boxes": args.boxes} if args.boxes != TILES else {}
    bench = BENCH if args.fresh else replace(BENCH, prepare=partial(prepare, kept=args.cache / "tokens"))
    return run_command(bench, args, options, CONTROLS)


def _found(summary: Mapping[str, Any]) -> float:
    return float(summary["found"]["mean"])


CONTROLS = (Control("untrained", "objects found, drawn by a model at random weights", _found, 0.1, untrained=True),)
BENCH = Bench("compose", 3, prepare, measure, figures, table, means)
