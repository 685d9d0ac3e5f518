"""Scores against passes, as a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

from PIL import Image, ImageDraw, ImageFont

from ...host.pictures.drawing import PALETTE
from ...host.pictures.labels import Colour
from .entries import SAID, Entry


def curve(entries: Sequence[Entry], size: tuple[int, int] = (760, 380)) -> Image.Image:
    """Scores of seen objects against passes, a panel a score, a colour a method; intervals as bars.

    Passes are on a scale of logarithms. Entries are numbered, and named below.
    """
    canvas = Image.new("RGB", (size[0], size[1] + 18 * len(entries) + 12), "white")
    draw, width = ImageDraw.Draw(canvas), size[0] // 2
    passes = [entry.mean("passes") for entry in entries]
    methods = list(dict.fromkeys(entry.method for entry in entries))
    colours = [PALETTE[methods.index(entry.method) % len(PALETTE)] for entry in entries]
    for place, score in enumerate(("acc1", "sim_i")):
        box = (place * width + 44, 28, (place + 1) * width - 14, size[1] - 30)
        panel = Panel(draw, box, (min(passes) / 1.3, max(passes) * 1.3))
        panel.frame(f"{SAID[score]} of seen objects")
        for number, (entry, colour) in enumerate(zip(entries, colours, strict=True), 1):
            panel.mark(str(number), entry.mean("passes"), entry.figures["seen"][score], colour)
    for number, (entry, colour) in enumerate(zip(entries, colours, strict=True), 1):
        said = f"{number}  {entry.name}: {entry.mean('passes'):.0f} passes"
        draw.text((44, size[1] + 18 * (number - 1)), said, fill=colour, font=ImageFont.load_default(12))
    return canvas


@dataclass(frozen=True)
class Panel:
    """A plot of values in 0..1 against passes.

    Attributes:
        draw: the canvas.
        box: (left, top, right, bottom) of it in pixels.
        span: least and most passes.
    """

    draw: ImageDraw.ImageDraw
    box: tuple[int, int, int, int]
    span: tuple[float, float]

    def place(self, passes: float, value: float) -> tuple[float, float]:
        """Where that is, in pixels."""
        low, high = map(log, self.span)
        left, top, right, bottom = self.box
        return left + (log(passes) - low) / (high - low) * (right - left), bottom - value * (bottom - top)

    def frame(self, title: str) -> None:
        """Axes."""
        font, grey = ImageFont.load_default(12), (120, 120, 120)
        self.draw.rectangle(self.box, outline=(190, 190, 190))
        self.draw.text((self.box[0], self.box[1] - 20), title, fill=(30, 30, 30), font=ImageFont.load_default(14))
        for value in (0.0, 0.25, 0.5, 0.75, 1.0):
            x, y = self.place(self.span[0], value)
            self.draw.line([(x, y), (self.box[2], y)], fill=(230, 230, 230))
            self.draw.text((x - 34, y - 7), f"{value:.2f}", fill=grey, font=font)
        for passes in (100, 200, 500, 1000, 2000, 5000):
            if self.span[0] < passes < self.span[1]:
                x, y = self.place(passes, 0)
                self.draw.line([(x, y), (x, y + 4)], fill=grey)
                self.draw.text((x - 12, y + 6), str(passes), fill=grey, font=font)

    def mark(self, name: str, passes: float, held: Mapping[str, float], colour: Colour) -> None:
        """One value with its interval."""
        (x, low), (_, high), (_, y) = (self.place(passes, float(held[end])) for end in ("low", "high", "mean"))
        pale = tuple((channel + 255) // 2 for channel in colour)
        self.draw.line([(x, low), (x, high)], fill=pale, width=2)
        self.draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)
        self.draw.text((x + 6, y - 14), name, fill=colour, font=ImageFont.load_default(12))
