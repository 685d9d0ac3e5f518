"""``bench ranking``: the learning methods beside one another, from the files that ``bench learn --json`` wrote.

Prints a table, and for every ranking that a paper claims whether it is found here. With ``--curve`` it draws scores
against samples that went through the denoiser.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from ...host.drawing import PALETTE
from ...host.labels import Colour
from ...host.saving import atomic_write
from .summary import aligned

SCORES = ("acc1", "sim_i", "sim_c")
SAID = {"acc1": "ACC^1", "sim_i": "SIM^I", "sim_c": "SIM^C"}


@dataclass(frozen=True)
class Entry:
    """One file: a way of learning and how it did.

    Attributes:
        name: method, preset and settings that differ from it.
        method: the method alone.
        figures: ``seen`` and ``unseen`` to score to ``mean``, ``low``, ``high``.
        cases: scenes in all.
        split: they are of.
        seed: of the run.
    """

    name: str
    method: str
    figures: Mapping[str, Mapping[str, Any]]
    cases: int
    split: str
    seed: int

    def mean(self, score: str, group: str = "seen") -> float:
        """A score's mean over scenes."""
        return float(self.figures[group][score]["mean"])


@dataclass(frozen=True)
class Claim:
    """That one method does better than another.

    Attributes:
        better, worse: methods, each by its best entry.
        score: in which.
        values: what the paper has for both, where known.
        source: who says so.
    """

    better: str
    worse: str
    score: str
    values: str
    source: str


CLAIMS = (
    Claim("conceptexpress", "break_a_scene", "sim_i", "0.689 > 0.627", "2407.07077, without adapter, found masks"),
    Claim("conceptexpress", "break_a_scene", "sim_c", "0.784 > 0.773", "2407.07077, without adapter, found masks"),
    Claim("conceptexpress", "break_a_scene", "acc1", "0.263 > 0.174", "2407.07077, without adapter, found masks"),
    Claim("attencraft", "disendiff", "sim_i", "no numbers", "2405.17965: best image fidelity of those compared"),
)
"""Rankings of methods that are here, as far as their papers' numbers are known to us."""


def read(path: Path) -> Entry:
    """One file of ``bench learn``.

    Raises:
        ValueError: for a file of another bench.
    """
    held = json.loads(path.read_text(encoding="utf-8"))
    if held.get("bench") != "learn":
        raise ValueError(f"{path} is no file of bench learn: write it with bench learn --json")
    options = held["options"]
    settings = ", ".join(f"{name} {value}" for name, value in options.get("settings", {}).items())
    flags = ", ".join(name for name, value in options.items() if value is True)
    name = " ".join(part for part in (options["method"], options["preset"], settings, flags) if part)
    return Entry(name, options["method"], held["summary"], held["cases"], held["split"], held["seed"])


def table(entries: Sequence[Entry]) -> str:
    """Entries from the best ACC^1 on seen objects down, as text."""
    groups = [group for group in ("seen", "unseen") if all(group in entry.figures for entry in entries)]
    head = ["", "passes", *(f"{SAID[score]} {group}" for group in groups for score in SCORES), "scenes"]
    rows = [
        [
            entry.name,
            f"{sum(entry.mean('passes', group) for group in groups) / len(groups):.0f}",
            *(f"{entry.mean(score, group):.3f}" for group in groups for score in SCORES),
            f"{entry.cases} {entry.split}",
        ]
        for entry in sorted(entries, key=lambda entry: entry.mean("acc1"), reverse=True)
    ]
    return aligned([head, *rows])


def verdicts(entries: Sequence[Entry], claims: Sequence[Claim] = CLAIMS) -> list[str]:
    """A line for every claim both of whose methods are among the entries."""
    lines = []
    for claim in claims:
        ours = {
            method: max((e.mean(claim.score) for e in entries if e.method == method), default=None)
            for method in (claim.better, claim.worse)
        }
        better, worse = ours[claim.better], ours[claim.worse]
        if better is None or worse is None:
            continue
        found = "found here too" if better > worse else "not found here"
        lines.append(
            f"{claim.better} above {claim.worse} in {SAID[claim.score]} ({claim.values}; {claim.source}): {found}, "
            f"{better:.3f} and {worse:.3f}"
        )
    return lines


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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench ranking``."""
    parser.add_argument("files", nargs="+", type=Path, help="files that bench learn --json wrote")
    parser.add_argument("--curve", type=Path, metavar="PNG", help="draw scores against passes")


def main(args: argparse.Namespace) -> int:
    """Print table and verdicts; returns the exit status."""
    entries = [read(path) for path in args.files]
    sys.stdout.write("\n".join([table(entries), "", *verdicts(entries), ""]))
    if args.curve:
        with atomic_write(args.curve) as temporary:
            curve(sorted(entries, key=lambda entry: entry.mean("passes"))).save(temporary, "PNG", optimize=True)
    return 0
