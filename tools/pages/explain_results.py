"""The tables of ``docs/explain.md``, from the files of ``bench explain``, ``importance``, ``steer`` and ``audit``.

A file that is not there is said to be missing.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ...bench.all.explaining import UNSIGNED
from ...bench.explain import audit, importance, steer
from ...bench.explain.explain import SCORES, SOURCES
from ...bench.explain.folders import KINDS
from ...core.explain.registry import METHODS
from .cards import table
from .files import heading, missing, read, shown_command

MEASURED = tuple(name for name in METHODS if name not in UNSIGNED)
WHOLE = {
    "explained": "explained",
    "stability": "stability over 3 seeds",
    "sparsity": "sparsity (Hoyer)",
    "separability": "separability",
}
"""Figures of all ingredients of a folder together."""

AUDITS = {
    "explain/audit.json": "scenes",
    "explain/audit_drawings.json": "drawn by the model",
    "explain/audit_fine_tune.json": "drawn by a fine-tune",
}
"""File to what the audited folder holds."""


def by_factor(source: str, folder: Path) -> str:
    """Every method's scores by objects, styles and colours, of a source of ``SOURCES``."""
    rows = [["method", "factor", *SCORES.values()]]
    for name in MEASURED:
        found = read(folder / _file(name, source))
        if found is None:
            rows.append([f"`{name}`", *_unmeasured(name, source, len(SCORES) + 1)])
            continue
        kinds = [kind for kind in KINDS if kind in found["summary"]]
        for kind in kinds:
            values = [f"{found['summary'][kind][score]['mean']:.2f}" for score in SCORES]
            rows.append([f"`{name}`" if kind == kinds[0] else "", f"{kind}s", *values])
    return table(rows)


def as_a_whole(source: str, folder: Path) -> str:
    """What every method's ingredients explain, how stable and sparse they are, and how separable their objects."""
    rows = [["method", *WHOLE.values()]]
    for name in MEASURED:
        found = read(folder / _file(name, source))
        if found is None:
            rows.append([f"`{name}`", *_unmeasured(name, source, len(WHOLE))])
        else:
            rows.append([f"`{name}`", *(f"{found['summary'][key]['mean']:.2f}" for key in WHOLE)])
    return table(rows)


def _file(method: str, source: str) -> str:
    """The file of a method and a source."""
    return f"explain/{'' if source == SOURCES[0] else f'{source}_'}{method}.json"


def _unmeasured(method: str, source: str, cells: int) -> list[str]:
    """The cells of a row without a file."""
    return [missing(_file(method, source)), *[""] * (cells - 1)]


def importances(name: str, folder: Path) -> str:
    """Every measure of importance beside what is lost with the object."""

    def rows(summary: Mapping[str, Any]) -> list[list[str]]:
        head = ["measure", *importance.FIGURES.values()]
        return [head, *([f"`{way}`", *_means(summary[way], importance.FIGURES)] for way in importance.WAYS)]

    return _with_heading(name, folder, rows)


def steering(folder: Path) -> str:
    """Steer Ingredients beside the model as it is and beside Erase Concepts."""

    def rows(summary: Mapping[str, Any]) -> list[list[str]]:
        head = ["way", *steer.FIGURES.values()]
        return [
            head,
            *([said, *_means(summary[way], steer.FIGURES)] for way, said in steer.WAYS.items() if way in summary),
        ]

    return _with_heading("explain/steer.json", folder, rows)


def audits(folder: Path) -> str:
    """What an audit finds in a pair of folders, on average."""
    found = {said: read(folder / name) for name, said in AUDITS.items()}
    lines = [
        missing(name) if found[said] is None else f"{said.capitalize()}: `{shown_command(found[said], name)}`."
        for name, said in AUDITS.items()
    ]
    there = {said: one["summary"] for said, one in found.items() if one is not None}
    rows = [["in a pair of folders, on average", *there]]
    rows += [[said, *(f"{of[key]['mean']:.2f}" for of in there.values())] for key, said in audit.FIGURES.items()]
    return "\n\n".join([*lines, table(rows)] if there else lines)


def _with_heading(name: str, folder: Path, rows: Callable[[Mapping[str, Any]], list[list[str]]]) -> str:
    """The table of a file under its number of cases and its command."""
    found = read(folder / name)
    return missing(name) if found is None else f"{heading(found, name)}\n\n{table(rows(found['summary']))}"


def _means(of: Mapping[str, Mapping[str, float]], names: Mapping[str, str]) -> list[str]:
    return [f"{of[name]['mean']:.2f}" for name in names]


PARTS: Mapping[str, Callable[[Path], str]] = {
    "audits": audits,
    "ingredients in the denoiser": partial(by_factor, SOURCES[0]),
    "all ingredients in the denoiser": partial(as_a_whole, SOURCES[0]),
    "ingredients in the image tower": partial(by_factor, SOURCES[1]),
    "all ingredients in the image tower": partial(as_a_whole, SOURCES[1]),
    "importance for the prediction": partial(importances, "explain/importance.json"),
    "importance for a word": partial(importances, "explain/importance_tower.json"),
    "steering": steering,
}
"""Marked part of the page to what writes it."""
