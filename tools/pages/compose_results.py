"""The tables of ``docs/results.md`` about composing, from the files of ``bench compose``."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ...bench.all.queue import queue
from ...bench.summary import with_interval
from ...core.compose.registry import METHODS as COMPOSING
from .cards import table
from .files import controls, over_seeds, read

COMPOSED = {
    "exact_2": "two objects: exactly those",
    "exact_3": "three",
    "exact_4": "four",
    "found": "objects found",
    "colours": "of them, in their colour",
    "placed": "in their box",
    "leak": "cells in others' boxes",
    "one": "one object alone",
}
"""Figure of ``bench compose`` to the head of its column."""

FURTHER = ("found", "colours", "placed", "leak")
"""Figures of two of a kind and of learnt tokens, beside exact sets."""


def titles() -> dict[str, str]:
    """Way of composing, as files have it, to what people call it."""
    return {"plain": "the prompt alone", "area": "stock area conditioning, in boxes"} | {
        name: method.title + ", in boxes" * ("regions" in method.needs) for name, method in COMPOSING.items()
    }


def _row(folder: Path, said: str, file: str, figures: Sequence[str]) -> list[str]:
    """A way's figures, or that its file is not there."""
    found = read(folder / file)
    if found is None:
        return [said, f"not measured: `bench {queue()[file]}`", *[""] * len(figures)]
    values = [found["summary"].get(key) for key in figures]
    return [said, str(found["cases"]), *(with_interval(value) if value else "" for value in values)]


def composers(folder: Path) -> str:
    """``bench compose`` by every method, with boxes and without."""
    ways = {said: "compose.json" if name == "plain" else f"compose/{name}.json" for name, said in titles().items()}
    ways |= {
        f"{method.title}, places found by words": f"compose/{name}_found.json"
        for name, method in COMPOSING.items()
        if "regions" in method.needs
    }
    rows = [["way", "cases", *COMPOSED.values()]]
    rows += [_row(folder, title, file, list(COMPOSED)) for title, file in ways.items()]
    plain = read(folder / "compose.json")
    return f"{table(rows)}\n\n{controls(plain)}" if plain else table(rows)


def further(folder: Path, kind: str, exact: tuple[str, ...]) -> str:
    """Every way with what ``kind`` of files have: ``alike`` or ``learnt``."""
    figures = (*exact, *FURTHER)
    rows = [["way", "cases", *(COMPOSED[key] for key in figures)]]
    rows += [_row(folder, said, f"compose/{name}_{kind}.json", figures) for name, said in titles().items()]
    return table(rows)


def seeds(folder: Path) -> str:
    """Every way with several seeds: the mean over seeds, the lowest and the highest."""
    rows = [["way", "seeds", *COMPOSED.values()]]
    for name, said in titles().items():
        single = "compose.json" if name == "plain" else f"compose/{name}.json"
        files = [single, *(file for file in queue() if file.startswith(f"compose/{name}_seed"))]
        found = [one for one in (read(folder / file) for file in files) if one is not None]
        if len(found) < len(files):
            rows.append([said, f"{len(found)} of {len(files)} measured", *[""] * len(COMPOSED)])
            continue
        means = [[one["summary"][key]["mean"] for one in found if one["summary"][key]] for key in COMPOSED]
        rows.append([said, str(len(found)), *map(over_seeds, means)])
    return table(rows)


PARTS = {
    "composing": composers,
    "composing, seeds": seeds,
    "composing two of a kind": partial(further, kind="alike", exact=("exact_2",)),
    "composing learnt tokens": partial(further, kind="learnt", exact=("exact_2", "exact_3", "exact_4")),
}
"""Marked part of the page to what writes it."""
