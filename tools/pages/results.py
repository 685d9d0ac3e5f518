"""The parts of ``docs/results.md`` that are about the lab model, written from the files of the benches.

``python -m concept_atelier lab page`` writes them between two marks each: every aim beside what was found, with the
command. A file that is not there is said to be missing.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...bench.everything import FOLDER, queue
from ...bench.lab import FIGURES
from ...bench.summary import with_interval
from .cards import table

LOCALISED = {
    "localize_fluent.json": "drawings by the hand that training saw",
    "localize_noto.json": "the same scenes drawn by noto, which this training did not see",
    "localize_twemoji.json": "the same scenes drawn by twemoji, which this training did not see",
    "localize_short.json": "shown a short caption",
    "localize_complete.json": "shown a complete caption",
}
"""File of ``bench localize`` to what is special in it."""


def with_results(page: str, folder: Path = FOLDER) -> str:
    """The page with its marked parts written anew.

    Raises:
        ValueError: for a page that lacks a mark, naming it.
    """
    for name, write in PARTS.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if begin not in page or end not in page:
            raise ValueError(f"the page of results needs the marks {begin} and {end}")
        before, rest = page.split(begin, 1)
        page = f"{before}{begin}\n{write(folder)}\n{end}{rest.split(end, 1)[1]}"
    return page


def lab_table(folder: Path) -> str:
    """Every figure of ``bench lab`` with its aim."""
    found = read(folder / "lab.json")
    if found is None:
        return missing("lab.json")
    rows = [["figure", "aim", "found", "reached"]]
    for name, (said, aim) in FIGURES.items():
        value = found["summary"][name]
        rows.append([said, "" if aim is None else f"{aim:g}", with_interval(value), verdict(value["mean"], aim)])
    gap = found["summary"]["name"]["mean"] - found["summary"]["synonym"]["mean"]
    rows.append(["a synonym's distance from its name", "0.05 or less", f"{gap:.3f}", verdict(-gap, -0.05)])
    said = f"{found['cases']} cases, seed {found['seed']}: `{command(found, 'lab.json')}`."
    return f"{said}\n\n{table(rows)}"


def localised_table(folder: Path) -> str:
    """Concept localisation on several kinds of scenes."""
    rows = [["scenes", "number", "grid mIoU", "pixel mIoU", "command"]]
    for name, said in LOCALISED.items():
        found = read(folder / name)
        if found is None:
            rows.append([said, "", "not measured", "", f"`bench {queue()[name]}`"])
            continue
        scores = found["summary"]["all"]["scores"]["concepts"]
        values = [with_interval(scores[resolution]["miou"]) for resolution in ("grid", "pixel")]
        rows.append([said, str(found["cases"]), *values, f"`{command(found, name)}`"])
    return table(rows)


def verdict(value: float, aim: float | None) -> str:
    """Whether an aim is reached."""
    return "" if aim is None else "yes" if value >= aim else "no"


def command(found: Mapping[str, Any], name: str) -> str:
    """The command of a file's figures; with fewer cases than the queue's where that many were measured."""
    words: Sequence[str] = queue()[name].split()
    if "--cases" in words:
        at = words.index("--cases") + 1
        words = [*words[:at], str(found["cases"]), *words[at + 1 :]]
    return f"bench {' '.join(words)}"


def read(path: Path) -> dict[str, Any] | None:
    """A bench's file, or None where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def missing(name: str) -> str:
    """What is said of a file that is not there."""
    return f"Not measured with these weights yet: `bench {queue()[name]}`."


PARTS = {"lab model": lab_table, "localisation by hand and caption": localised_table}
"""Marked part of the page to what writes it."""
