"""``bench ranking``: the learning methods beside one another, from the files that ``bench learn --json`` wrote.

Prints a table, and for every ranking that a paper claims whether it is found here. Runs
with several seeds are joined, their spread in brackets. With ``--curve`` it draws scores
against samples that went through the denoiser.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from ...host.drawing import PALETTE
from ...host.labels import Colour
from ...host.saving import atomic_write
from .summary import aligned

OBJECTS = {1: "1 to 3 objects", 2: "1 to 4 objects"}  # by the schema of bench learn
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
        scenes: what they are: their split, and how many objects they have.
        seeds: of the runs; with several, means are over them, and ``low`` and ``high`` the least and greatest.
    """

    name: str
    method: str
    figures: Mapping[str, Mapping[str, Any]]
    cases: int
    scenes: str
    seeds: tuple[int, ...]

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
    counts = options.get("objects")
    objects = f"{min(counts)} to {max(counts)} objects" if counts else OBJECTS[held["schema"]]
    scenes = f"{held['split']}, {objects}"
    return Entry(name, options["method"], held["summary"], held["cases"], scenes, (held["seed"],))


def combine(entries: Sequence[Entry]) -> list[Entry]:
    """Runs that differ in nothing but their seed as one entry each."""
    groups: dict[tuple[str, str, int], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.name, entry.scenes, entry.cases), []).append(entry)
    return [group[0] if len(group) == 1 else _over_seeds(group) for group in groups.values()]


def _over_seeds(runs: Sequence[Entry]) -> Entry:
    def spread(group: str, score: str) -> dict[str, float]:
        means = [run.mean(score, group) for run in runs]
        return {"mean": sum(means) / len(means), "low": min(means), "high": max(means)}

    figures = {
        group: {score: spread(group, score) for score, held in of.items() if isinstance(held, dict)}
        for group, of in runs[0].figures.items()
    }
    seeds = tuple(seed for run in runs for seed in run.seeds)
    return replace(runs[0], figures=figures, cases=sum(run.cases for run in runs), seeds=seeds)


def table(entries: Sequence[Entry]) -> str:
    """Entries from the best ACC^1 on seen objects down, as text."""
    groups = [group for group in ("seen", "unseen") if all(group in entry.figures for entry in entries)]
    head = ["", "passes", *(f"{SAID[score]} {group}" for group in groups for score in SCORES), "scenes"]
    rows = [
        [
            entry.name,
            f"{sum(entry.mean('passes', group) for group in groups) / len(groups):.0f}",
            *(_value(entry, score, group) for group in groups for score in SCORES),
            f"{entry.cases} {entry.scenes}" + (f", {len(entry.seeds)} seeds" if len(entry.seeds) > 1 else ""),
        ]
        for entry in sorted(entries, key=lambda entry: entry.mean("acc1"), reverse=True)
    ]
    return aligned([head, *rows])


def _value(entry: Entry, score: str, group: str) -> str:
    held = entry.figures[group][score]
    spread = f" [{held['low']:.2f} {held['high']:.2f}]" if len(entry.seeds) > 1 else ""
    return f"{held['mean']:.3f}{spread}"


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
    entries = combine([read(path) for path in args.files])
    sys.stdout.write("\n".join([table(entries), "", *verdicts(entries), ""]))
    if args.curve:
        with atomic_write(args.curve) as temporary:
            curve(sorted(entries, key=lambda entry: entry.mean("passes"))).save(temporary, "PNG", optimize=True)
    return 0
