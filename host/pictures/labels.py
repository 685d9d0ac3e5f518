"""Labels on pictures: legible at the size that nodes show, inside the picture, none on top of another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from ...core.messages import plain

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]
SHARE, LEAST, MARGIN = 0.05, 16, 3
"""Height of letters as a share of the picture's shorter side, at least this many pixels; pixels to the edge."""

LONGEST = 60
"""Letters of a label that are written."""


@dataclass(frozen=True)
class Label:
    """A text, the point (x, y) it belongs to and its colour; without a text nothing is written."""

    text: str
    at: tuple[float, float]
    colour: Colour


def write_labels(image: Image.Image, labels: Sequence[Label]) -> None:
    """Write labels on a picture, each as near to its point as the edge and the labels before it allow."""
    draw = ImageDraw.Draw(image)
    taken: list[Box] = []
    for label in labels:
        if label.text:
            taken.append(_write(draw, image.size, label, taken))


def fitted(text: str, size: int, width: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font in the largest size up to ``size``, at least 8, in which a text is no wider than ``width``."""
    while size > 8 and _font(size).getlength(text) > width:
        size -= 1
    return _font(size)


def write_line(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    ink: Any,
    size: int,
    width: float,
    anchor: str = "la",
    longest: int = LONGEST,
) -> None:
    """A text in one line, no wider than ``width`` if letters of 8 pixels allow it; names may be of any kind.

    Of a text of more than ``longest`` letters the middle is left out.
    """
    line = plain(text, longest)
    draw.text(at, line, ink, fitted(line, size, width), anchor)


def line_width(text: str, size: int) -> float:
    """Pixels that a text in one line takes."""
    return float(_font(size).getlength(text))


def text_colour(on: Colour) -> str:
    """Black or white, whichever is read more easily on a colour."""
    red, green, blue = on
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 150 else "white"


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _write(draw: ImageDraw.ImageDraw, size: tuple[int, int], label: Label, taken: Sequence[Box]) -> Box:
    letters = max(8, min(max(LEAST, round(SHARE * min(size))), size[1] - 12))
    text = plain(label.text, LONGEST)
    font = fitted(text, letters, size[0] - 12)
    _, top, _, bottom = font.getbbox("<Ag>", anchor="lm")
    half = (font.getlength(text) / 2 + letters * 0.3, (bottom - top) / 2 + letters * 0.2)
    choices = list(_around(label.at, half, size))
    x, y = next((point for point in choices if not _meets(_box(point, half), taken)), choices[0])
    ink = text_colour(label.colour)
    draw.rounded_rectangle(_box((x, y), half), radius=letters * 0.3, fill=label.colour, outline=ink)
    draw.text((x, y), text, fill=ink, font=font, anchor="mm")
    return _box((x, y), half)


def _around(at: tuple[float, float], half: tuple[float, float], size: tuple[int, int]) -> Iterator[tuple[float, float]]:
    """The point and more and more distant ones above and below it, moved inside the picture."""
    for step in range(9):
        offset = (step + 1) // 2 * (1 if step % 2 else -1) * (2 * half[1] + 1)
        x, y = (
            min(max(wish, part + MARGIN), max(part + MARGIN, side - part - MARGIN))
            for wish, part, side in zip((at[0], at[1] + offset), half, size, strict=True)
        )
        yield x, y


def _box(centre: tuple[float, float], half: tuple[float, float]) -> Box:
    return centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]


def _meets(box: Box, taken: Sequence[Box]) -> bool:
    return any(box[0] < t[2] and t[0] < box[2] and box[1] < t[3] and t[1] < box[3] for t in taken)
