"""Runs of ``bench learn`` as they lie in files, and those of several seeds joined."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.settings import preset_name

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
        split: of the scenes.
        scenes: what they are: their split, and how many objects they have.
        seeds: of the runs; with several, means are over them, and ``low`` and ``high`` the least and greatest.
        values: all settings as JSON; empty in files from before they were kept.
    """

    name: str
    method: str
    figures: Mapping[str, Mapping[str, Any]]
    cases: int
    split: str
    scenes: str
    seeds: tuple[int, ...]
    values: str = ""

    def mean(self, score: str, group: str = "seen") -> float:
        """A score's mean over scenes."""
        return float(self.figures[group][score]["mean"])


def read(path: Path) -> Entry:
    """One file of ``bench learn``.

    Raises:
        ValueError: for a file of another bench.
    """
    held = json.loads(path.read_text(encoding="utf-8"))
    if held.get("bench") != "learn":
        raise ValueError(f"{path} is no file of bench learn: write it with bench learn --json")
    options = held["options"]
    settings = ", ".join(f"{name} {value}" for name, value in sorted(options.get("settings", {}).items()))
    flags = ", ".join(name for name, value in options.items() if value is True)
    name = " ".join(part for part in (options["method"], preset_name(options["preset"]), settings, flags) if part)
    counts = options.get("objects")
    objects = f"{min(counts)} to {max(counts)} objects" if counts else OBJECTS[held["schema"]]
    scenes = f"{held['split']}, {objects}"
    values = json.dumps(options["values"], sort_keys=True) if "values" in options else ""
    seeds = (held["seed"],)
    return Entry(name, options["method"], held["summary"], held["cases"], held["split"], scenes, seeds, values)


def combine(entries: Sequence[Entry]) -> list[Entry]:
    """Runs that differ in nothing but their seed as one entry each."""
    groups: dict[tuple[str, str, int, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.name, entry.scenes, entry.cases, entry.values), []).append(entry)
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
