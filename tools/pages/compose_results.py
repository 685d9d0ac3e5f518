"""The tables of ``docs/results.md`` about composing, from the files of ``bench compose``.

A way that was measured on fewer cases than the prompt alone is followed by the prompt alone over the same cases: case n
has the same objects, boxes and noise in every file of a seed, and the first cases may be easier than all of them.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...bench.all.composing import AS_PUBLISHED, IN_BOXES, METHODS, PAPER_WITH_LORAS, WITH_LORAS
from ...bench.all.queue import queue
from ...bench.compose.cases import COUNTS, SQUARES, TILES
from ...bench.compose.compose import LEAST_IOU, SIMILARITIES, figures
from ...bench.harness import Request
from ...bench.summary import with_interval
from ...core.messages import listed
from .cards import table
from .files import controls, missing, over_seeds, read, shown_command

COMPOSED = {
    "exact_2": "two objects: exactly those",
    "exact_3": "three",
    "exact_4": "four",
    "found": "objects found",
    "colours": "of them, in their colour",
    "placed": "in their box",
    "leak": "cells in others' boxes",
    "iou": f"region IoU (aim: {LEAST_IOU:g})",
    "one": "one object alone",
    "passes": "passes",
    "seconds": "seconds",
}
"""Figure of ``bench compose`` to the head of its column."""

HEADS = COMPOSED | {
    "exact": "all sets: exactly those",
    "iou_found": "IoU with the place found",
    "identity": "alike its source, of 1",
    "style": "in the style",
}
"""The same with the figures of some kinds of cases alone."""

PLAIN_FIGURES = {"passes": "{:.0f}", "seconds": "{:.1f}"}
"""Figures that hardly differ between cases, to how their means are written."""

SETS = ("exact_2", "exact_3", "exact_4")
NAMED = (*SETS, "found", "colours", "placed", "leak", "iou")
LEARNT = (*SETS, "found", "colours", "placed", "leak", "iou", "identity", "one", "passes", "seconds")
"""Figures of learnt tokens, whose colours are those of the drawing."""

PLAIN, WORLD = "the prompt alone", "compose/world.json"
CORRECTED = "Correction by Similarities (T2I-Zero)"
LEFT_OUT = {"lora_composer": " without its guidance"}
"""Method to what its preset ``small`` leaves out of the paper."""

Result = Mapping[str, Any]


def titles() -> dict[str, str]:
    """Way of composing, as files have it, to what people call it."""
    named = {name: method.title + LEFT_OUT.get(name, "") for name, method in METHODS.items()}
    return {"plain": PLAIN, "area": "stock area conditioning, in boxes"} | {
        name: title + ", in boxes" * ("regions" in METHODS[name].needs) for name, title in named.items()
    }


def same_cases(plain: Result | None, found: Result) -> Result | None:
    """The prompt alone over the cases of another result of the same seed; None where those are all of its cases, or
    more than it has."""
    if plain is None or found["cases"] >= plain["cases"] or "rows" not in plain:
        return None
    rows = plain["rows"][: found["cases"]]
    request = Request(len(rows), plain["seed"], plain.get("split", "test"))
    return {"cases": len(rows), "seed": plain["seed"], "summary": figures(rows, request)}


def same_cases_said(cases: int) -> str:
    """What a row over the cases of another is called."""
    return f"{PLAIN}, the same {cases} cases"


def shown_value(key: str, value: Mapping[str, float] | None) -> str:
    """A figure in a table; nothing where it was not measured."""
    if not value:
        return ""
    return PLAIN_FIGURES[key].format(value["mean"]) if key in PLAIN_FIGURES else with_interval(value)


def _row(said: str, found: Result, shown: Sequence[str]) -> list[str]:
    return [said, str(found["cases"]), *(shown_value(key, found["summary"].get(key)) for key in shown)]


def ways(folder: Path, files: Mapping[str, str], plain_file: str, shown: Sequence[str]) -> str:
    """A table of several ways.

    Args:
        folder: of results.
        files: of each way, to what people call it.
        plain_file: of the prompt alone; below ways with fewer cases, it is said over the same cases.
        shown: figures, each a column.
    """
    plain = read(folder / plain_file)
    rows = [["way", "cases", *(HEADS[key] for key in shown)]]
    pending: Result | None = None  # a row that waits until ways of as many cases end
    for file, said in files.items():
        found = read(folder / file)
        of_same = None if found is None else same_cases(plain, found)
        if pending is not None and (of_same is None or of_same["cases"] != pending["cases"]):
            rows.append(_row(same_cases_said(pending["cases"]), pending, shown))
        pending = of_same
        if found is None:
            rows.append([said, f"not measured: `bench {queue()[file]}`", *[""] * len(shown)])
        else:
            rows.append(_row(said, found, shown))
    if pending is not None:
        rows.append(_row(same_cases_said(pending["cases"]), pending, shown))
    return table(rows)


def composers(folder: Path) -> str:
    """``bench compose`` by every way, in boxes where it takes any."""
    files = {"compose.json" if name == "plain" else f"compose/{name}.json": said for name, said in titles().items()}
    files[f"compose/{SIMILARITIES}.json"] = CORRECTED
    plain = read(folder / "compose.json")
    written = f"{ways(folder, files, 'compose.json', list(COMPOSED))}\n\n{_pasted(read(folder / WORLD))}"
    return f"{written}\n\n{controls(plain)}" if plain else written


def _pasted(found: Result | None) -> str:
    """What figures the bench gives for icons in their boxes."""
    if found is None:
        return missing(WORLD)
    return (
        "For comparison, icons of the lab's world, each pasted into its box as large as it fits, have a region IoU of "
        f"{_by_count(found, 'iou')} in scenes of two, three and four. The judge finds exactly these icons in "
        f"{_by_count(found, 'exact')} of the scenes (`{shown_command(found, WORLD)}`)."
    )


def _by_count(found: Result, key: str) -> str:
    """The mean of a figure by number of objects."""
    request, means = Request(len(found["rows"]), found["seed"], found.get("split", "test")), []
    for count in COUNTS:
        rows = [row for row in found["rows"] if len(row["asked"]) == count]
        means.append(f"{figures(rows, request)[key]['mean']:.2f}")
    return listed(means)


def placed_by_words(folder: Path) -> str:
    """Every way with regions, where the words of the objects find them."""
    files = {
        f"compose/{name}_found.json": method.title + LEFT_OUT.get(name, "")
        for name, method in METHODS.items()
        if "regions" in method.needs
    }
    return ways(folder, files, "compose.json", ("exact", *SETS, "found", "colours", "iou_found", "passes", "seconds"))


def as_published(folder: Path) -> str:
    """Ways whose preset for the lab leaves out parts of the paper, with all of them."""
    files = {f"compose/{name}_paper.json": f"{METHODS[name].title}, `paper`, in boxes" for name in AS_PUBLISHED}
    return ways(folder, files, "compose.json", ("exact", *COMPOSED))


def further(folder: Path, kind: str, shown: tuple[str, ...], names: Sequence[str] = ()) -> str:
    """Every way, or those with these names, with what ``kind`` of files have: ``alike``, ``learnt``, ``loras`` or
    ``styled``."""
    files = {f"compose/{name}_{kind}.json": said for name, said in titles().items() if name in (names or titles())}
    if PAPER_WITH_LORAS in names:
        files[f"compose/{PAPER_WITH_LORAS}_{kind}.json"] = f"{METHODS['lora_composer'].title}, `paper`, in boxes"
    return ways(folder, files, f"compose/plain_{kind}.json", shown)


def squares(folder: Path, shown: Sequence[str] = NAMED, kind: str = "", model: str = "") -> str:
    """Every way that takes boxes, with boxes that fill the picture and with squares, over the same cases.

    Args:
        kind: of files, ``_learnt`` for learnt tokens.
        model: the folder of a model's files and a slash; empty for the UNet.
    """
    rows = [["way", "boxes", "cases", *(HEADS[key] for key in shown)]]
    said = titles() | {"world": "icons of the world, pasted"}
    for name in IN_BOXES:
        tiles, own = (f"{model}compose/{name}{kind}{ending}.json" for ending in ("", "_squares"))
        if own not in queue():
            continue
        found, before = read(folder / own), read(folder / tiles)
        if found is None or before is None:
            rows.append([said[name], f"not measured: `bench {queue()[own]}`", *[""] * (len(shown) + 1)])
            continue
        further = [read(folder / file) for file in queue() if file.startswith(f"{own.removesuffix('.json')}_seed")]
        shapes = [(TILES, same_cases(before, found) or before), (SQUARES, found)]
        shapes += [(f"{SQUARES}, seed {one['seed']}", one) for one in further if one is not None]
        for shape, one in shapes:
            _, *cells = _row("", one, shown)
            rows.append([said[name], shape, *cells])
    return table(rows)


def seeds(folder: Path) -> str:
    """Every way with several seeds: the mean over seeds, the lowest and the highest."""
    rows = [["way", "seeds", *COMPOSED.values()]]
    plain = _of_seeds(folder, "plain")
    for name, said in titles().items():
        found = _of_seeds(folder, name)
        there = [one for one in found if one is not None]
        if len(there) < len(found):
            rows.append([said, f"{len(there)} of {len(found)} measured", *[""] * len(COMPOSED)])
            continue
        rows.append([said, str(len(there)), *_over_seeds(there)])
        same = [same_cases(by_prompt, one) for by_prompt, one in zip(plain, there, strict=True)]
        if any(same) and all(plain):
            beside = [other or by_prompt for other, by_prompt in zip(same, plain, strict=True)]
            rows.append([f"{PLAIN}, the same cases", str(len(there)), *_over_seeds([one for one in beside if one])])
    return table(rows)


def _of_seeds(folder: Path, name: str) -> list[Result | None]:
    """The files of a way, one for each seed; None where there is none."""
    single = "compose.json" if name == "plain" else f"compose/{name}.json"
    files = [single, *(file for file in queue() if file.startswith(f"compose/{name}_seed"))]
    return [read(folder / file) for file in files]


def _over_seeds(found: Sequence[Result]) -> list[str]:
    """Every figure over the results of several seeds; nothing where one of them lacks it."""
    cells = []
    for key in COMPOSED:
        means = [value["mean"] for one in found if (value := one["summary"].get(key))]
        cells.append(over_seeds(means) if len(means) == len(found) else "")
    return cells


PARTS = {
    "composing": composers,
    "composing, seeds": seeds,
    "composing in squares": squares,
    "composing learnt tokens in squares": partial(
        squares, shown=(*SETS, "found", "colours", "placed", "leak", "iou", "identity", "one"), kind="_learnt"
    ),
    "composing, places found by words": placed_by_words,
    "composing as published": as_published,
    "composing two of a kind": partial(
        further, kind="alike", shown=("exact_2", "found", "colours", "placed", "leak", "iou", "passes", "seconds")
    ),
    "composing learnt tokens": partial(further, kind="learnt", shown=LEARNT),
    "composing with LoRAs": partial(
        further,
        kind="loras",
        shown=("exact_2", "found", "colours", "placed", "leak", "iou", "identity", "one", "passes", "seconds"),
        names=(*WITH_LORAS, PAPER_WITH_LORAS),
    ),
    "composing in a style": partial(
        further, kind="styled", shown=(*SETS, "found", "style", "placed", "leak", "iou", "one", "passes", "seconds")
    ),
}
"""Marked part of the page to what writes it."""
