"""One table of all methods of erasing on the lab UNet, from the files of ``bench erase``, ``attack`` and ``cost``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...bench.all.queue import queue
from ...core.erase.registry import METHODS as ERASING
from .cards import table
from .erasure_results import ATTACKED, single
from .files import read

Found = Mapping[str, Any] | None
COLUMNS = (
    "method",
    "name",
    "unlisted synonym",
    "nearest names",
    "others",
    "style",
    "colour",
    "10 at once: erased, others",
    "30 at once",
    "token learnt on it",
    "inverted picture",
    "steps until half",
    "seconds, MB",
)


def overview(folder: Path) -> str:
    """A line for every method: shares of pictures, steps, seconds of processor time and MB."""
    attacks = [one for one in (read(folder / file) for file in ATTACKED) if one is not None]
    costs = _costs(read(folder / "cost.json"))
    rows = [list(COLUMNS)]
    for name, method in ERASING.items():
        alone = read(folder / single(name))
        looks = [
            _mean(read(folder / f"erase/{name}_{look}s.json"), f"{look}_found_after") for look in ("style", "colour")
        ]
        many = [_both(folder, f"erase/{name}_{count}.json") for count in (10, 30)]
        keys = ("found_after", "found_after_synonym", "neighbours_after", "others_after")
        attacked: dict[str, Any] = {}
        for one in attacks:
            of = one["summary"]["methods"].get(name, {})
            attacked |= {scenario: entry for scenario, entry in of.items() if entry}
        rows.append(
            [
                method.title,
                *(_mean(alone, key) for key in keys),
                *looks,
                *many,
                *(_share(attacked.get(scenario)) for scenario in ("embedding", "inversion")),
                _steps(attacked.get("relearning")),
                costs.get(name, "-"),
            ]
        )
    return table(rows)


def _mean(found: Found, key: str) -> str:
    value = found["summary"].get(key) if found else None
    return f"{value['mean']:.2f}" if value else "-"


def _both(folder: Path, file: str) -> str:
    """Erased and other objects of several at once."""
    if file not in queue():
        return "left out"
    found = read(folder / file)
    return ", ".join(_mean(found, key) for key in ("found_after", "others_after")) if found else "-"


def _share(entry: Mapping[str, Any] | None) -> str:
    return f"{entry['found']:.2f}" if entry else "-"


def _steps(entry: Mapping[str, Any] | None) -> str:
    return f"{entry['half']:.0f}{'+' if entry['never'] else ''}" if entry else "-"


def _costs(found: Found) -> dict[str, str]:
    """Method to its seconds and MB."""
    figures = [one for one in found["figures"] if one["figure"] == "erase by method"] if found else []
    return {
        name: f"{spent['cpu_s']:.1f}, {'?' if spent['resident_mb'] is None else round(spent['resident_mb'])}"
        for one in figures
        for name, spent in one["methods"].items()
    }
