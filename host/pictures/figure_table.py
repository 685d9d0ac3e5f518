"""A table of figures as a picture: a line each, with a bar between a floor and a ceiling."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from .labels import Colour, line_width, write_line

GROUND, INK, FAINT = (24, 24, 24), (240, 240, 240), (150, 150, 150)
TRACK, SPAN = (52, 52, 52), (96, 96, 110)
GOOD, MIDDLING, BAD, UNKNOWN = (80, 190, 120), (240, 190, 70), (235, 95, 80), (150, 150, 150)
LINE, LETTERS, GAP = 30, 16, 10
BAR, WIDEST = 150, 420
"""Pixels of a bar at least; of a name, and of the words after a bar, at most."""
LONGEST = 100
"""Letters of a name or of such words at most."""


@dataclass(frozen=True)
class TableLine:
    """A line of a table.

    Attributes:
        name: what it is of.
        value: 0..1, where the mark stands; None leaves the bar out, and ``said`` stands in its place.
        floor: where the band begins.
        ceiling: where it ends.
        said: words after the bar and the cells.
        colour: of the mark and the words.
        heading: a heading of a part instead, of which only ``name`` and ``cells`` are read.
        cells: short texts in columns between the bar and ``said``; of a heading, what these columns are.
    """

    name: str
    value: float | None = None
    floor: float = 0.0
    ceiling: float = 1.0
    said: str = ""
    colour: Colour = INK
    heading: bool = False
    cells: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Columns:
    """Where things begin, in pixels: bars, what follows them, each cell, the last words; and the table's width."""

    bar: float
    after: float
    cells: tuple[float, ...]
    said: float
    width: int


def figure_table(title: str, lines: Sequence[TableLine], width: int, legend: Sequence[str] = ()) -> Image.Image:
    """A picture of a table, ``width`` pixels wide or as wide as its texts need: name, bar, cells, words.

    Args:
        title: above it.
        lines: of the table.
        width: pixels at least.
        legend: lines below the title.
    """
    at = _columns(lines, width)
    canvas = Image.new("RGB", (at.width, LINE * (len(lines) + len(legend) + 1) + 2 * GAP), GROUND)
    draw = ImageDraw.Draw(canvas)
    write_line(draw, (GAP, GAP + LINE / 2), title, INK, LETTERS + 4, at.width - 2 * GAP, "lm")
    for number, said in enumerate(legend, 1):
        middle = GAP + (number + 0.5) * LINE
        write_line(draw, (GAP, middle), said, FAINT, LETTERS, at.width - 2 * GAP, "lm", LONGEST)
    for number, line in enumerate(lines, 1 + len(legend)):
        _write(draw, line, GAP + number * LINE, at)
    return canvas


def _columns(lines: Sequence[TableLine], width: int) -> _Columns:
    """Columns in which no text of a usual length is cut; bars take what is left."""
    barred = [line for line in lines if line.value is not None]
    headings = [line for line in lines if line.heading]
    names = min(max((line_width(line.name, LETTERS) for line in lines if not line.heading), default=0), WIDEST)
    said = min(max((line_width(line.said, LETTERS) for line in barred), default=0), WIDEST)
    free = max((line_width(one.said, LETTERS) for one in lines if one.value is None and not one.heading), default=0)
    count = max((len(line.cells) for line in lines), default=0)
    cells = [
        max(line_width(line.cells[k], LETTERS) for line in (*barred, *headings) if len(line.cells) > k)
        for k in range(count)
    ]
    bar = GAP + names + 2 * GAP
    behind = sum(cells) + 2 * GAP * count + said + GAP
    heads = max((line_width(line.name, LETTERS) for line in headings if line.cells), default=0)
    needed = max(max(bar + BAR + GAP, GAP + heads) + GAP + behind, bar + min(free, WIDEST) + GAP)
    total = max(width, math.ceil(needed))
    after = total - behind
    starts = [after + sum(cells[:k]) + 2 * GAP * k for k in range(count)]
    return _Columns(bar, after, tuple(starts), after + sum(cells) + 2 * GAP * count, total)


def _write(draw: ImageDraw.ImageDraw, line: TableLine, top: int, at: _Columns) -> None:
    middle = top + LINE / 2

    def write(text: str, left: float, right: float, ink: Colour) -> None:
        write_line(draw, (left, middle), text, ink, LETTERS, right - left, "lm", LONGEST)

    ends = (*at.cells[1:], at.said)
    for text, left, right in zip(line.cells, at.cells, ends, strict=False):
        write(text, left, right, FAINT if line.heading else line.colour if left == at.after else INK)
    if line.heading:
        draw.line((GAP, top + 2, at.width - GAP, top + 2), fill=TRACK)
        write(line.name, GAP, at.after - GAP if line.cells else at.width - GAP, FAINT)
        return
    write(line.name, GAP, at.bar - GAP, INK)
    write(line.said, at.bar if line.value is None else at.said, at.width - GAP, line.colour)
    if line.value is not None:
        _bar(draw, line, (at.bar, at.after - 2 * GAP), middle)


def _bar(draw: ImageDraw.ImageDraw, line: TableLine, bar: tuple[float, float], middle: float) -> None:
    def at(value: float) -> float:
        return bar[0] + (bar[1] - bar[0]) * min(1.0, max(0.0, value))

    draw.rectangle((bar[0], middle - 3, bar[1], middle + 3), fill=TRACK)
    draw.rectangle((at(min(line.floor, line.ceiling)), middle - 3, at(line.ceiling), middle + 3), fill=SPAN)
    place = at(line.value or 0.0)
    draw.ellipse((place - 7, middle - 7, place + 7, middle + 7), fill=line.colour)
