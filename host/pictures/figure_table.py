"""A table of figures as a picture: a line each, with a bar between a floor and a ceiling."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from .labels import Colour, write_line

GROUND, INK, FAINT = (24, 24, 24), (240, 240, 240), (150, 150, 150)
TRACK, SPAN = (52, 52, 52), (96, 96, 110)
GOOD, MIDDLING, BAD, UNKNOWN = (80, 190, 120), (240, 190, 70), (235, 95, 80), (150, 150, 150)
LINE, LETTERS, GAP = 30, 16, 10
BAR = 0.28
"""Share of the width that bars take."""


@dataclass(frozen=True)
class TableLine:
    """A line of a table.

    Attributes:
        name: what it is of.
        value: 0..1, where the mark stands; None leaves the bar out.
        floor: where the band begins.
        ceiling: where it ends.
        said: words behind the bar.
        colour: of the mark and the words.
        heading: a heading of a part instead, of which only ``name`` is read.
    """

    name: str
    value: float | None = None
    floor: float = 0.0
    ceiling: float = 1.0
    said: str = ""
    colour: Colour = INK
    heading: bool = False


def figure_table(title: str, lines: Sequence[TableLine], width: int) -> Image.Image:
    """A picture of a table, ``width`` pixels wide: name, bar, figures."""
    canvas = Image.new("RGB", (width, LINE * (len(lines) + 1) + 2 * GAP), GROUND)
    draw = ImageDraw.Draw(canvas)
    write_line(draw, (GAP, GAP + LINE / 2), title, INK, LETTERS + 4, width - 2 * GAP, "lm")
    for number, line in enumerate(lines, 1):
        _write(draw, line, GAP + number * LINE, width)
    return canvas


def _write(draw: ImageDraw.ImageDraw, line: TableLine, top: int, width: int) -> None:
    middle, name = top + LINE / 2, width * 0.34
    bar = (name + GAP, name + width * BAR)
    after = bar[1] + 2 * GAP
    if line.heading:
        draw.line((GAP, top + 2, width - GAP, top + 2), fill=TRACK)
        write_line(draw, (GAP, middle), line.name, FAINT, LETTERS, width - 2 * GAP, "lm")
        return
    write_line(draw, (GAP, middle), line.name, INK, LETTERS, name - GAP, "lm")
    write_line(draw, (after, middle), line.said, line.colour, LETTERS, width - after - GAP, "lm")
    if line.value is not None:
        _bar(draw, line, bar, middle)


def _bar(draw: ImageDraw.ImageDraw, line: TableLine, bar: tuple[float, float], middle: float) -> None:
    def at(value: float) -> float:
        return bar[0] + (bar[1] - bar[0]) * min(1.0, max(0.0, value))

    draw.rectangle((bar[0], middle - 3, bar[1], middle + 3), fill=TRACK)
    draw.rectangle((at(min(line.floor, line.ceiling)), middle - 3, at(line.ceiling), middle + 3), fill=SPAN)
    place = at(line.value or 0.0)
    draw.ellipse((place - 7, middle - 7, place + 7, middle + 7), fill=line.colour)
