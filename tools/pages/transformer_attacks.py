"""The table of ``docs/transformer-results.md`` about attacks on erasures and about guards."""

from pathlib import Path

from ...bench.all.queue import queue
from ...bench.all.transformers import FOLDER
from ...bench.erase.attack import ASKED
from ...bench.erase.attacked import NOTHING
from ...core.attack.registry import SCENARIOS
from ...core.erase.guards.registry import METHODS as GUARDS
from ...core.erase.registry import METHODS as ERASING
from .cards import table
from .erasure_results import NOT_YET, OTHERS, attacked
from .files import read, shown_command

FILES = {
    "attack.json": "none",
    "attack_trained.json": "none",
    "attack_guard_none.json": "none",
    **{f"attack_guard_{guard}.json": GUARDS[guard].title for guard in ("dve", "irece", "guidance")},
    "attack_guard_dve_alone.json": GUARDS["dve"].title,
}
"""File of ``bench attack`` to the guard that acts while it draws."""


def attacks(folder: Path) -> str:
    """A row for each file and method that was attacked: scenarios, and other objects before and after."""
    scenarios = ASKED
    rows = [["model", "guard", "objects", *(SCENARIOS[name].title for name in scenarios), OTHERS, "command"]]
    for file, guard in FILES.items():
        name = f"{FOLDER}/{file}"
        found = read(folder / name)
        if found is None:
            rows.append([NOT_YET, guard, *[""] * (len(scenarios) + 2), f"`bench {queue()[name]}`"])
            continue
        for method, of in found["summary"]["methods"].items():
            model = "as it is" if method == NOTHING else f"erased by {ERASING[method].title}"
            kept = found["summary"]["kept"][method]
            beside = f"{kept['before']:.2f}, {kept['after']:.2f}"
            objects = sum(row["method"] == method for row in found["rows"])
            cells = [attacked(scenario, of.get(scenario)) for scenario in scenarios]
            rows.append([model, guard, str(objects), *cells, beside, f"`{shown_command(found, name)}`"])
    return table(rows)
