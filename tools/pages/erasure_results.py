"""The tables of ``docs/results.md`` and ``docs/erasure-results.md`` about erasing, from the files of ``bench erase``.

A file that is not there is said to be missing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...bench.all.erasing import BEST_ERASERS, CHANGED, GUARDED, KEPT, LOOKS, WITH_SYNONYMS
from ...bench.all.queue import queue
from ...bench.erase.attack import ASKED
from ...bench.erase.attacked import UNKNOWN
from ...bench.summary import with_interval
from ...core.attack.registry import SCENARIOS
from ...core.erase.guards.registry import METHODS as GUARDS
from ...core.erase.registry import METHODS as ERASING
from ...core.messages import listed
from .cards import table
from .files import controls, heading, missing, over_seeds, read, shown_command, verdict

Figure = Mapping[str, float]
ERASED_AIM, SYNONYM_AIM, LISTED_AIM, LOSS_AIM = 0.02, 0.1, 0.05, 0.03
"""Shares of pictures: the most in which an erased object is found by its name, by a synonym, and by one that was erased
with it; and the most that other objects lose."""
CONTROLS, UNSEEN = "attack_controls.json", "attack_unknown.json"
ATTACKED = (
    "attack.json",
    "attack_more.json",
    "attack_relatives.json",
    "attack_trained.json",
    "attack_more_trained.json",
)
"""Files of ``bench attack`` whose scenarios make one table."""
NOT_YET = "not measured yet"
COUNTS = (1, 10, 30)
"""How many objects are erased at once."""


def erasing(folder: Path) -> str:
    """``bench erase`` with its aims."""
    found = read(folder / "erase.json")
    if found is None:
        return missing("erase.json")
    summary: Mapping[str, Figure] = found["summary"]
    loss = summary["others_before"]["mean"] - summary["others_after"]["mean"]

    def row(said: str, aim: str, before: str, after: str, reached: str = "") -> list[str]:
        return [said, aim, f"{summary[before]['mean']:.3f}", with_interval(summary[after]), reached]

    def erased(key: str, aim: float) -> str:
        return verdict(-summary[key]["mean"], -aim)

    rows = [
        ["figure", "aim", "before", "after", "reached"],
        row(
            "the erased object is found",
            f"{ERASED_AIM} or less",
            "found_before",
            "found_after",
            erased("found_after", ERASED_AIM),
        ),
        row(
            "the same, asked for by a synonym",
            f"{SYNONYM_AIM} or less",
            "found_before_synonym",
            "found_after_synonym",
            erased("found_after_synonym", SYNONYM_AIM),
        ),
        row(
            "other objects are found",
            f"a loss of at most {LOSS_AIM}",
            "others_before",
            "others_after",
            f"{verdict(-loss, -LOSS_AIM)}, {loss:.3f}",
        ),
        row("of those, the four with the nearest names", "", "neighbours_before", "neighbours_after"),
        row("an erased style is found (chance: 0.25)", "", "style_found_before", "style_found_after"),
    ]
    rows[3:3] = [_listed_row(folder, name) for name in WITH_SYNONYMS]
    said = (
        f"{summary['pairs_of_others']} pairs of pictures of other objects were drawn. Afterwards, objects on the "
        f"preserve list are found in {summary['preserved_after']['mean']:.3f} of the pictures, objects not on it in "
        f"{summary['free_after']['mean']:.3f}. {controls(found)}"
    )
    return f"{heading(found, 'erase.json')}\n\n{table(rows)}\n\n{said}"


def _listed_row(folder: Path, method: str) -> list[str]:
    """The row of a method that erased synonyms beside the names."""
    said = f"synonyms when listed, {ERASING[method].title}"
    found = read(folder / f"erase/{method}_synonyms.json")
    value = found["summary"]["found_after_synonym"] if found else None
    if found is None or value is None:
        return [said, f"{LISTED_AIM} or less", "", NOT_YET, ""]
    before = found["summary"]["found_before_synonym"]["mean"]
    cells = [f"{before:.3f}", f"{with_interval(value)} ({found['cases']} cases)"]
    return [said, f"{LISTED_AIM} or less", *cells, verdict(-value["mean"], -LISTED_AIM)]


def erased_kept_looks(folder: Path) -> str:
    """Every method by whether objects that are still found have the style and the colour that they had."""
    rows = [["method", "cases", "same style", "by chance", "same colour", "by chance"]]
    figures = [f"kept_{look}{which}" for look in LOOKS for which in ("", "_chance")]
    for name, method in ERASING.items():
        found = read(folder / single(name))
        values = [found["summary"].get(key) for key in figures] if found else []
        if found is None or not any(values):  # older files lack them
            rows.append([method.title, NOT_YET, *[""] * len(figures)])
            continue
        rows.append([method.title, str(found["cases"]), *(f"{one['mean']:.2f}" if one else "-" for one in values)])
    return table(rows)


def erased_counts(folder: Path) -> str:
    """Every method by how many objects it erases at once."""
    figures = ("found_after", "others_after", "neighbours_after")
    rows = [["method", *(f"{count} at once" for count in COUNTS)]]
    for name, method in ERASING.items():
        files = [single(name)]
        files += [f"erase/{name}_{count}.json" for count in COUNTS[1:]]
        rows.append([method.title, *(_cell(folder, file, figures) for file in files)])
    for name, (of, changes) in CHANGED.items():
        files = [f"erase/{name}.json", *(f"erase/{name}_{count}.json" for count in COUNTS[1:])]
        said = f"{ERASING[of].title}, {changes.replace('--set ', '')}"
        rows.append([said, *(_cell(folder, file, figures) for file in files)])
    return table(rows)


def erased_seeds(folder: Path) -> str:
    """The best methods with three seeds: the mean over seeds, the lowest and the highest."""
    figures = {"found_after": "erased object", "found_after_synonym": "by a synonym", "others_after": "other objects"}
    figures["neighbours_after"] = "nearest names"
    rows = [["method", *figures.values()]]
    for name in BEST_ERASERS:
        files = [single(name), *(file for file in queue() if file.startswith(f"erase/{name}_seed"))]
        found = [one for one in (read(folder / file) for file in files) if one is not None]
        if len(found) < len(files):
            rows.append([ERASING[name].title, f"{len(found)} of {len(files)} seeds measured yet", *[""] * 3])
            continue
        means = [[one["summary"][key]["mean"] for one in found if one["summary"][key]] for key in figures]
        rows.append([ERASING[name].title, *map(over_seeds, means)])
    return table(rows)


def single(method: str) -> str:
    """The file of a method's erasures of one object each."""
    return "erase.json" if method == "uce" else f"erase/{method}.json"


def erased_looks(folder: Path) -> str:
    """Every method on styles and on colours."""
    rows = [["method", *(f"a {look}" for look in LOOKS)]]
    of, changes = CHANGED[KEPT]
    titles = {name: method.title for name, method in ERASING.items()}
    titles[KEPT] = f"{ERASING[of].title}, {changes.replace('--set ', '')}"
    for name, title in titles.items():
        cells = []
        for look in LOOKS:
            figures = [f"{look}_{which}_{when}" for which in ("found", "others") for when in ("before", "after")]
            cells.append(_cell(folder, f"erase/{name}_{look}s.json", figures))
        rows.append([title, *cells])
    return table(rows)


def attacks(folder: Path) -> str:
    """Every scenario by the methods that were attacked."""
    found = {file: read(folder / file) for file in ATTACKED}
    there = {file: entry for file, entry in found.items() if entry is not None}
    measured: dict[str, dict[str, Any]] = {}
    for entry in there.values():
        for name, of in entry["summary"]["methods"].items():
            if any(of.values()):
                measured[name] = measured.get(name, {}) | {scenario: one for scenario, one in of.items() if one}
    said = [
        f"{entry['cases']} erasures, {listed(entry['summary']['erased'])}: `{shown_command(entry, file)}`."
        for file, entry in there.items()
    ] + [missing(file) for file, entry in found.items() if entry is None]
    said.append(_learnt(read(folder / UNSEEN)))
    spoiled = read(folder / CONTROLS)
    said.append(missing(CONTROLS) if spoiled is None else f"{controls(spoiled)} `{shown_command(spoiled, CONTROLS)}`.")
    names = [name for name, one in SCENARIOS.items() if any(name in of for of in measured.values())]
    rows = [["scenario", *(ERASING[name].title for name in measured)]]
    rows += [[SCENARIOS[name].title, *(attacked(name, of.get(name)) for of in measured.values())] for name in names]
    return "\n\n".join([*said, table(rows)] if measured else said)


def _learnt(entry: Mapping[str, Any] | None) -> str:
    """How soon the model as it is learns objects that it never saw, beside the re-learning curves."""
    if entry is None:
        return missing(UNSEEN)
    steps = attacked("relearning", entry["summary"]["methods"][UNKNOWN]["relearning"])
    return (
        f"For comparison with the re-learning curve, until half of the drawings show objects that the model never saw "
        f"({listed(entry['summary']['erased'])}), the model as it is trains for {steps}: "
        f"`{shown_command(entry, UNSEEN)}`."
    )


def attack_seeds(folder: Path) -> str:
    """The best methods under attack with three seeds, which attack other objects: the mean over seeds, the lowest and
    the highest."""
    files = ["attack.json", *(file for file in queue() if file.startswith("attack_seed"))]
    there = [one for one in (read(folder / file) for file in files) if one is not None]
    if len(there) < len(files):
        return missing(files[len(there)])
    rows = [["scenario", *(ERASING[name].title for name in BEST_ERASERS)]]
    for scenario in ASKED:
        of_methods = [[one["summary"]["methods"][name][scenario] for one in there] for name in BEST_ERASERS]
        key = "half" if scenario == "relearning" else "found"
        rows.append([SCENARIOS[scenario].title, *(over_seeds([one[key] for one in of]) for of in of_methods)])
    said = [
        f"{listed(one['summary']['erased'])}: `{shown_command(one, file)}`"
        for one, file in zip(there, files, strict=True)
    ]
    return f"{'; '.join(said)}.\n\n{table(rows)}"


OTHERS = "other objects: before, after"
"""Head of the column of what is drawn beside."""


def guards(folder: Path) -> str:
    """Scenarios with and without guards on a model from which objects were erased, and with guards alone."""
    rows = [["model", "guard", "cases", *(SCENARIOS[name].title for name in GUARDED.split(",")), OTHERS]]
    for file in (name for name in queue() if name.startswith("attack_guard_")):
        name = file.removeprefix("attack_guard_").removesuffix(".json").removesuffix("_alone")
        alone = file.endswith("_alone.json")
        title, way = GUARDS[name].title if name in GUARDS else "none", "none" if alone else "uce"
        model, one = "as it is" if alone else "erased by UCE", read(folder / file)
        if one is None:
            rows.append([model, title, f"not measured: `bench {queue()[file]}`", *[""] * (len(rows[0]) - 3)])
            continue
        of, kept = one["summary"]["methods"][way], one["summary"].get("kept", {}).get(way)
        beside = "not measured" if kept is None else f"{kept['before']:.2f}, {kept['after']:.2f}"
        cells = [attacked(scenario, of.get(scenario)) for scenario in GUARDED.split(",")]
        rows.append([model, title, str(one["cases"]), *cells, beside])
    return table(rows)


def attacked(scenario: str, entry: Mapping[str, Any] | None) -> str:
    """The share that is found with its floor and its ceiling; of the re-learning curve, the steps until half is."""
    if entry is None:
        return "-"
    if scenario == "relearning":
        return f"{entry['half']:.0f}{'+' if entry['never'] else ''} steps"
    return f"{entry['found']:.2f} ({entry['floor']:.2f}, {entry['ceiling']:.2f})"


def _cell(folder: Path, file: str, figures: Sequence[str]) -> str:
    """The means of a file's figures and how many cases it has; of a file that is not there, that it is not measured."""
    found = read(folder / file)
    if found is None:
        return NOT_YET if file in queue() else "left out"
    values = [found["summary"].get(key) for key in figures]
    return " / ".join(f"{value['mean']:.2f}" if value else "-" for value in values) + f" ({found['cases']})"


def erasers(folder: Path) -> str:
    """``bench erase`` by every method, side by side."""
    figures = {
        "found_after": "erased object",
        "found_after_synonym": "by a synonym",
        "others_after": "other objects",
        "neighbours_after": "nearest names",
        "style_found_after": "erased style",
    }
    rows = [["method", "cases", *figures.values()]]
    for name, method in ERASING.items():
        file = single(name)
        found = read(folder / file)
        if found is None:
            rows.append([method.title, f"not measured: `bench {queue()[file]}`", *[""] * len(figures)])
            continue
        values = [found["summary"][key] for key in figures]
        rows.append([method.title, str(found["cases"]), *(with_interval(value) if value else "" for value in values)])
    return table(rows)
