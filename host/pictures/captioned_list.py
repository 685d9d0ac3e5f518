"""A list of pictures, each with lines of text beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw
from torch import Tensor

from ...core.messages import plain
from ..files.images import from_pil, to_pil
from .labels import Colour, line_width, write_line

GROUND = (24, 24, 24)
MOST, LEAST, SIDE, GAP, LETTERS, LONGEST = 900, 480, 96, 8, 16, 100


@dataclass(frozen=True, eq=False)
class ListEntry:
    """A picture (3, H, W) in 0..1 and what stands beside it: lines, each in its colour."""

    picture: Tensor
    lines: Sequence[tuple[str, Colour]]


def captioned_list(entries: Sequence[ListEntry]) -> Tensor:
    """IMAGE (1, h, w, 3), an entry below another; as wide as the longest line needs, within ``LEAST`` and ``MOST``."""
    longest = max(line_width(plain(text, LONGEST), LETTERS) for entry in entries for text, _ in entry.lines)
    width = min(MOST, max(LEAST, math.ceil(longest) + SIDE + 4 * GAP))
    canvas = Image.new("RGB", (width, len(entries) * (SIDE + GAP) + GAP), GROUND)
    draw = ImageDraw.Draw(canvas)
    for number, entry in enumerate(entries):
        top = GAP + number * (SIDE + GAP)
        picture = to_pil(entry.picture.movedim(0, -1))
        picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        canvas.paste(picture, (GAP, top))
        for line, (text, colour) in enumerate(entry.lines):
            middle = top + SIDE * (2 * line + 1) / (2 * len(entry.lines))
            write_line(draw, (SIDE + 3 * GAP, middle), text, colour, LETTERS, width - SIDE - 4 * GAP, "lm", LONGEST)
    return from_pil(canvas)[0][None]
