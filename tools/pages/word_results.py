"""The tables of ``docs/results.md`` about heat maps of words."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...bench.all.queue import queue
from ...bench.summary import with_interval
from ...bench.words.cases import KINDS
from ...bench.words.damp import FIGURES as DAMPED
from ...bench.words.words import DELETED, SCORES, SHUFFLED
from .cards import table
from .files import controls, heading, missing, read, shown_command


def word_maps(folder: Path) -> str:
    """``bench words``."""
    found = read(folder / "words.json")
    if found is None:
        return missing("words.json")
    rows = [["words of the caption", "number", *SCORES.values(), SHUFFLED]]
    for kind, figures in found["summary"]["all"].items():
        rows.append([kind, str(figures["words"]), *(with_interval(figures[name]) for name in (*SCORES, "shuffled"))])
    return f"{heading(found, 'words.json')}\n\n{table(rows)}"


def word_sweep(folder: Path, name: str = "words_sweep.json") -> str:
    """``bench words --sweep``: names."""
    return sweep(folder, name)


Cells = Mapping[tuple[str, str], float]
"""Of a sweep: layer and share of noise to a score."""


def _score(figures: Mapping[str, Any]) -> float:
    """A setting's score: the IoU of names, where there are figures by kinds of words; else the mean."""
    return float((figures["name"]["iou"] if "name" in figures else figures)["mean"])


def swept(found: Mapping[str, Any]) -> Cells:
    """The scores of a sweep's file."""
    return {
        (layer, noise): _score(figures)
        for setting, figures in found["summary"].items()
        for layer, noise in [setting.rsplit(" at ", 1)]
    }


def sweep(folder: Path, name: str) -> str:
    """A sweep of layers by shares of noise."""
    found = read(folder / name)
    if found is None:
        return missing(name)
    cells = swept(found)
    layers, noises = (list(dict.fromkeys(key[axis] for key in cells)) for axis in (0, 1))
    rows = [["layer", *(f"noise {noise}" for noise in noises)]]
    for layer in layers:
        values = [f"{cells[layer, noise]:.3f}" for noise in noises]
        rows.append([layer if layer == "all" else f"`{layer}`", *values])
    return f"{heading(found, name)}\n\n{table(rows)}"


def word_kinds(folder: Path) -> str:
    """``bench words`` by kinds of maps and captions: a row for each file that is there."""
    rows = [["maps, captions", "cases", *(f"{kind}, Otsu's threshold" for kind in KINDS), "names, above 0.4"]]
    rows[0] += ["names, pointing game", *DELETED.values()]
    for name, title in KIND_FILES.items():
        found = read(folder / f"{name}.json")
        if found is None:
            rows.append([f"{title}: not measured with these weights yet", *[""] * (len(rows[0]) - 1)])
            continue
        scores = found["summary"]["all"]
        otsu = [with_interval(scores[kind]["iou_otsu"]) if kind in scores else "" for kind in KINDS]
        names = [with_interval(scores["name"].get(score)) for score in ("iou", "point", *DELETED)]
        rows.append([title, str(found["cases"]), *otsu, *names])
    return table(rows)


def damping(folder: Path) -> str:
    """``bench damp``: a row for each kind of maps and captions."""
    rows = [["maps, captions", "names", *DAMPED.values(), "command"]]
    for name, title in DAMP_FILES.items():
        found = read(folder / name)
        if found is None:
            rows.append([f"{title}: not measured", *[""] * (len(rows[0]) - 2), f"`bench {queue()[name]}`"])
            continue
        values = [with_interval(found["summary"][key]) for key in DAMPED]
        rows.append([title, str(found["summary"]["names"]), *values, f"`{shown_command(found, name)}`"])
    said = controls(read(folder / "words_damp.json") or {})
    return "\n\n".join(part for part in (table(rows), said) if part)


DAMP_FILES = {
    "words_damp.json": "attention, complete",
    "words_damp_short.json": "attention, short",
}
"""File of ``bench damp`` to what it measured."""

KIND_FILES = {
    "words": "attention, complete",
    "words_short": "attention, short",
    "words_information": "information, complete",
    "words_information_short": "information, short",
    "words_alone": "information of the word without the caption",
    "words_both": "mean of both, complete",
    "words_both_short": "mean of both, short",
}
"""File to what it measured."""

PARTS: Mapping[str, Callable[[Path], str]] = {
    "heat maps of words": word_maps,
    "kinds of maps": word_kinds,
    "sweep of words": word_sweep,
    "damped words": damping,
}
"""Marked part of the page to what writes it."""
