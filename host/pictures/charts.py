"""Bars and curves as pictures."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..files.images import from_pil
from .drawing import Colour
from .labels import write_line

INK, LINES, PALE = (30, 30, 30), (190, 190, 190), (110, 110, 110)
UP, DOWN = (30, 90, 200), (200, 80, 40)
CURVES: tuple[Colour, ...] = (UP, DOWN, (140, 140, 140), (60, 150, 90))
WIDTH, LINE, NAME, MARGIN = 560, 24, 170, 12


def draw_bars(title: str, names: Sequence[str], values: Sequence[float]) -> Tensor:
    """IMAGE (1, h, w, 3): a bar for each name, to the right for positive values and to the left for negative ones."""
    height = 3 * LINE + LINE * len(names) + MARGIN
    canvas = Image.new("RGB", (WIDTH, height), "white")
    draw, letters = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    write_line(draw, (MARGIN, LINE), title, INK, 16, WIDTH - 2 * MARGIN, "lm")
    left, right = NAME + MARGIN, WIDTH - 70
    most = max((abs(value) for value in values), default=0.0) or 1.0
    span = (right - left) / (2 if min(values, default=0.0) < 0 else 1)
    zero = right - span
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        middle = 2 * LINE + LINE * number + LINE / 2
        write_line(draw, (MARGIN, middle), name, INK, 14, NAME - MARGIN, "lm")
        end = zero + span * value / most
        box = (min(zero, end), middle - 8, max(zero, end), middle + 8)
        draw.rectangle(box, fill=UP if value >= 0 else DOWN)
        draw.text((right + 8, middle), f"{value:+.3f}", PALE, letters, "lm")
    draw.line((zero, 2 * LINE, zero, height - MARGIN), fill=LINES)
    return from_pil(canvas)[0][None]


def draw_curves(title: str, across: str, curves: Sequence[tuple[str, Sequence[float]]]) -> Tensor:
    """IMAGE (1, h, w, 3): curves with their names over 0 to 100 % of what ``across`` says."""
    width, height = 400, 290 + 17 * len(curves)
    canvas = Image.new("RGB", (width, height), "white")
    draw, letters = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    write_line(draw, (MARGIN, LINE), title, INK, 16, width - 2 * MARGIN, "lm")
    left, top, right, bottom = 56, 44, width - MARGIN, 250
    draw.rectangle((left, top, right, bottom), outline=LINES)
    every = [value for _, values in curves for value in values]
    low, high = min(every), max(every)
    span = (high - low) or 1.0
    for number, (name, values) in enumerate(curves):
        colour = CURVES[number % len(CURVES)]
        step = (right - left) / max(1, len(values) - 1)
        points = [(left + i * step, bottom - (v - low) / span * (bottom - top)) for i, v in enumerate(values)]
        draw.line(points, fill=colour, width=3 if number == 0 else 2)
        draw.text((left, bottom + 30 + 17 * number), name, colour, letters, "la")
    draw.text((left - 6, top), f"{high:.2f}", PALE, letters, "ra")
    draw.text((left - 6, bottom), f"{low:.2f}", PALE, letters, "rd")
    draw.text(((left + right) / 2, bottom + 8), across, PALE, letters, "ma")
    return from_pil(canvas)[0][None]
