"""``bench damp``: whether a picture changes where the heat map of a word is, and nowhere else, if the word is damped.

The model draws a caption, and again with the attention to one of its names multiplied by 0 (Edit by Words:
Prompt-to-Prompt, arXiv 2208.01626), from the same noise. The change of the pixels is measured inside and outside of two
regions: the name's map in the first picture above Otsu's threshold, and the region that Edit by Words gives, which is
read while the picture is drawn. Two comparisons show whether it is this map that matters: the regions of the other
names, where other objects are, and the map's region moved by half a picture, which is as large and has the same shape.
The judge says whether the object is gone and whether the others are still there.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...core.attribute.agreement import regions_of
from ...core.attribute.compare import ATTENTION, BOTH, INFORMATION
from ...core.attribute.edit_by_words import WordEdit, WordEditSettings, change_in, edit_by_words
from ...core.backbone import Backbone
from ...lab.judge.judge import Judge, load_judge
from ..command import add_common_arguments, backbone_for, run_command
from ..controls import Control
from ..drawing import GUIDANCE, SIDE, STEPS
from ..harness import Bench, Request, Row
from ..summary import aligned, interval, means, with_interval
from .cases import CAPTIONS, Word, WordCase, clear_words, make_word_case
from .deletion import PRESENT
from .words import ALONE, LEVELS, maps_of

MAPS = (ATTENTION, INFORMATION, BOTH, ALONE)

FIGURES = {
    "inside": "change inside its map",
    "outside": "outside",
    "more": "difference",
    "right": "names with more change inside",
    "others": "change inside the maps of the other names",
    "elsewhere": "change inside its map, moved by half a picture",
    "inside_drawn": "inside the region of Edit by Words",
    "outside_drawn": "outside that",
    "gone": "judge loses the object",
    "kept": "other objects still there",
}
"""What is measured of every name, in the order of the tables."""


def prepare(request: Request) -> tuple[Backbone, Judge]:
    """The model and the judge."""
    return backbone_for(request), load_judge()


def measure(prepared: tuple[Backbone, Judge], request: Request, index: int) -> Row:
    """One caption: its own seed, and the figures of each name that is said of one thing alone."""
    backbone, judge = prepared
    case = make_word_case(request.split, index, request.seed, request.options.get("caption", CAPTIONS[0]))
    words = clear_words(case.words, backbone.tokenize(case.caption))
    names = [word for word in words if word.kind == "name"]
    edits = [damped(backbone, case, name) for name in names]
    row: Row = {"seed": case.seed, "caption": case.caption, "objects": case.objects, "names": []}
    if not names:
        return row
    drawn = replace(case, picture=edits[0].before.cpu())
    regions = regions_of(maps_of(backbone, drawn, names, request.options)["all"])  # (N, H, W)
    for number, (name, edit) in enumerate(zip(names, edits, strict=True)):
        others = torch.cat([regions[:number], regions[number + 1 :]]).any(0)
        seen = seen_of(judge, edit, name, names)
        row["names"].append({"word": name.text, **changes(edit, regions[number], others), **seen})
    return row


def damped(backbone: Backbone, case: WordCase, name: Word) -> WordEdit:
    """The picture of the case's caption, and the same without attention to a name."""
    side = SIDE // backbone.latent_downscale
    return edit_by_words(
        backbone,
        case.caption,
        case.caption,
        {name.text: 0.0},
        WordEditSettings(),
        latent_size=(side, side),
        steps=STEPS,
        guidance=GUIDANCE,
        seed=case.seed,
    )


def changes(edit: WordEdit, region: Tensor, others: Tensor) -> dict[str, float | None]:
    """The mean change of an edit in parts of the picture, by figure; None for a part without pixels.

    Args:
        edit: a name damped.
        region: (H, W) bool, of the name's map.
        others: (H, W) bool, of the other names' maps.
    """
    moved = region.roll((SIDE // 2, SIDE // 2), (0, 1))
    parts = {"inside": region, "outside": ~region, "others": others & ~region, "elsewhere": moved & ~region}
    parts |= {"inside_drawn": edit.region.cpu(), "outside_drawn": ~edit.region.cpu()}
    found = {
        key: round(change_in(edit.before, edit.after, part.float())[0], 4) if bool(part.any()) else None
        for key, part in parts.items()
    }
    inside, outside = found["inside"], found["outside"]
    known = inside is not None and outside is not None
    more = round(inside - outside, 4) if known else None
    return found | {"more": more, "right": float(more > 0) if more is not None else None}


def seen_of(judge: Judge, edit: WordEdit, name: Word, names: Sequence[Word]) -> dict[str, float | None]:
    """Whether the judge loses the object of a name, and the share of the other names' objects that it still sees; None
    for objects that it did not see at first."""
    before, after = judge.look(torch.cat([edit.before, edit.after]).cpu()).presence()
    seen = [one for one in names if float(before[judge.index(one.text)]) >= PRESENT]
    still = {one.text: float(after[judge.index(one.text)]) >= PRESENT for one in seen}
    gone = None if name.text not in still else float(not still.pop(name.text))
    return {"gone": gone, "kept": sum(still.values()) / len(still) if still else None}


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """How many ``names``, and each figure's mean over those that have it, with an interval."""
    entries = [entry for row in rows for entry in row["names"]]
    found: dict[str, Any] = {"names": len(entries)}
    for key in FIGURES:
        values = [entry[key] for entry in entries if entry[key] is not None]
        found[key] = interval(values, request.seed) if values else None
    return found


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    options, summary = result["options"], result["summary"]
    head = f"bench damp: {result['cases']} {result['split']} captions ({options.get('caption', CAPTIONS[0])}), seed "
    head += f"{result['seed']}, maps of {options.get('maps', ATTENTION)}; {summary['names']} names damped to 0; "
    rows = [[said, with_interval(summary[key])] for key, said in FIGURES.items()]
    return f"{head}95% intervals\n{aligned(rows)}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench damp``; multiples of 6 cases are balanced over counts and backgrounds."""
    add_common_arguments(parser, cases=48)
    parser.add_argument(
        "--maps",
        choices=MAPS,
        default=MAPS[0],
        help="the kind of map that is tested, as for bench words (default: %(default)s)",
    )
    parser.add_argument(
        "--levels", type=int, default=LEVELS, help="levels of noise of information (default: %(default)s)"
    )
    parser.add_argument(
        "--caption", choices=CAPTIONS, default=CAPTIONS[0], help="short: names alone (default: %(default)s)"
    )


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    options: dict[str, Any] = {} if args.maps == MAPS[0] else {"maps": args.maps, "levels": args.levels}
    options |= {} if args.caption == CAPTIONS[0] else {"caption": args.caption}
    return run_command(BENCH, args, options, CONTROLS)


CONTROLS = (
    Control(
        "untrained",
        "more change inside than outside of the map, by a model at random weights",
        lambda summary: float(summary["more"]["mean"]),
        0.01,
        untrained=True,
    ),
)

BENCH = Bench("damp", 1, prepare, measure, figures, table, means)
