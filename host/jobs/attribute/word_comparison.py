"""Words compared by several kinds of maps: a sheet, a table and sentences for people."""

import csv
import io
from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from ....core.attribute.compare import ATTENTION, BOTH, CONCEPTS, INFORMATION, Comparison
from ....core.backbone import Backbone
from ...pictures.drawing import colour_of, heat_over, overlay_masks
from ...shared.families import FAMILIES, no_concepts
from ..contact_sheet import Caption, Row, contact_sheet

SIDE = 256
"""Pixels of the longer side of a picture on the sheet."""

NAMES = {ATTENTION: "attention", INFORMATION: "information", BOTH: "mean of both", CONCEPTS: "concept"}
"""What kinds of maps are called on the sheet."""

MEASURED = (ATTENTION, INFORMATION, CONCEPTS)
"""Kinds whose agreement says something: the mean agrees with what it is made of."""


def kinds_for(backbone: Backbone) -> tuple[tuple[str, ...], str]:
    """The kinds of maps that a model can be read by, and a sentence about what it lacks, "" where it lacks nothing."""
    transformer = FAMILIES[backbone.family].transformer
    if transformer is None or not transformer.concepts:
        return (ATTENTION, INFORMATION, BOTH), f"There are no concept heat maps: {no_concepts(backbone.family)}."
    return (ATTENTION, INFORMATION, BOTH, CONCEPTS), ""


def comparison_sheet(found: Comparison, picture: Tensor, masks: Tensor | None) -> Tensor:
    """IMAGE (1, h, w, 3): a row for each word, the picture (1, 3, H, W) with the word's mask and the word's maps."""
    seen = picture[0].movedim(0, -1).cpu()  # (H, W, 3)
    rows = []
    for index, word in enumerate(found.words):
        shown = seen if masks is None else overlay_masks(seen, masks[index : index + 1], [""], tint=0)
        drawn = torch.stack([heat_over(seen, heat, "").movedim(-1, 0) for heat in found.maps[:, index]])
        captions = [Caption(_caption(found, number, index)) for number in range(len(found.kinds))]
        first = "picture" if masks is None else "picture and mask"
        agreed = ", ".join(f"{a} and {b} {r:.2f}" for a, b, r in _pairs(found, index))
        rows.append(
            Row(f"{word}   agreement of {agreed}", colour_of(index), shown.movedim(-1, 0), drawn, captions, first)
        )
    return contact_sheet(rows, SIDE)


def described(found: Comparison) -> str:
    """What was found, a line for each word."""
    lines = ["Agreement of maps: Pearson's correlation over pixels, from -1 to 1."]
    if found.overlap is not None:
        lines[0] += " IoU: of the mask with the pixels above Otsu's threshold."
    for index, word in enumerate(found.words):
        said = [f"{a} and {b} {r:.2f}" for a, b, r in _pairs(found, index)]
        if found.overlap is not None:
            said += [f"IoU of {NAMES[kind]} {found.overlap[k, index]:.2f}" for k, kind in enumerate(found.kinds)]
        lines.append(f"{word}: {', '.join(said)}")
    return "\n".join(lines)


def comparison_csv(found: Comparison) -> str:
    """A line for each word and kind of map: its IoU, empty without a mask, and its correlation with every kind."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["word", "map", "iou", *(f"r with {kind}" for kind in found.kinds)])
    for index, word in enumerate(found.words):
        for number, kind in enumerate(found.kinds):
            iou = "" if found.overlap is None else f"{float(found.overlap[number, index]):.4f}"
            writer.writerow([word, kind, iou, *(f"{r:.4f}" for r in found.agreement[index, number].tolist())])
    return text.getvalue()


def _pairs(found: Comparison, index: int) -> Sequence[tuple[str, str, float]]:
    """The names of every two maps that were measured by themselves, and their agreement on a word."""
    numbers = [number for number, kind in enumerate(found.kinds) if kind in MEASURED]
    return [
        (NAMES[found.kinds[a]], NAMES[found.kinds[b]], float(found.agreement[index, a, b]))
        for a, b in combinations(numbers, 2)
    ]


def _caption(found: Comparison, number: int, index: int) -> str:
    name = NAMES[found.kinds[number]]
    return name if found.overlap is None else f"{name}   IoU {float(found.overlap[number, index]):.2f}"
