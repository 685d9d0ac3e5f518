"""``bench attack``: does an erased object come back where no one asks for it by its name?

Every case erases one object by one method and attacks the model in the scenarios of ``core/attack``. The judge says in
which pictures the object is. Beside every figure stand a floor, pictures without the object, and a ceiling, the model
as it was, asked for in the same way. Cases take the methods in turn for one object, then for the next, so that what the
original model draws of an object is drawn once. Objects are shared out as in ``bench erase``. A guard may act in
every picture that the erased model draws.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...core.attack.figures import LEAST_SPAN, Figure, joined
from ...core.attack.parts.settings import PRESETS, AttackSettings
from ...core.attack.registry import FIVE, SCENARIOS
from ...core.attack.run import Outcome, attack, chosen
from ...core.erase.guards.registry import METHODS as GUARDS
from ...core.erase.registry import METHODS
from ..cases import SEEDS_PER_RUN
from ..command import add_common_arguments, add_settings_argument, chosen_settings, run_command
from ..controls import Control
from ..harness import Bench, Request, Row
from ..summary import aligned
from .attacked import NOTHING, UNKNOWN, AttackParts, guard_of, kind_of, prepare_attack, settings_of, task_without
from .kept import kept_of, kept_over

COMPARED = ("uce", "rece", "speed", "mace", "realera", "hirm")
"""Methods that cost no training."""
ASKED = (*FIVE, "relearning")
LEARNT = f"--methods {UNKNOWN} --scenarios relearning"
"""What asks how soon the model learns objects that it never saw."""


def measure(parts: AttackParts, request: Request, index: int) -> Row:
    """One erasure under attack: for every scenario in how many pictures the object was found, floor and ceiling."""
    methods, kind = request.options["methods"], kind_of(request, index)
    method = methods[index % len(methods)]
    task = task_without(parts, request, method, kind)
    task = replace(task, guard=guard_of(parts, request, task.concept))
    found = attack(task, request.options["scenarios"])
    return {
        "seed": request.seed * SEEDS_PER_RUN + index,
        "method": method,
        "erased": kind.name,
        "others": list(task.others),
        "scenarios": {outcome.scenario.name: entry_of(outcome) for outcome in found.outcomes},
        "kept": kept_of(parts.judge, task),
        "left_out": dict(found.left_out),
    }


def entry_of(outcome: Outcome) -> dict[str, Any]:
    """What a row keeps of a scenario."""
    figure, attempt = outcome.figure, outcome.attempt
    entry = {
        "found": figure.found,
        "floor": figure.floor,
        "ceiling": figure.ceiling,
        "pictures": figure.pictures,
        "seconds": round(outcome.seconds, 1),
    }
    return entry | (
        {"curve": [list(point) for point in attempt.curve], "half": outcome.steps_to_half} if attempt.curve else {}
    )


def figure_of(entries: Sequence[Mapping[str, Any]]) -> Figure:
    """The figures of some rows, joined."""
    return joined([Figure(*(entry[name] for name in ("found", "floor", "ceiling", "pictures"))) for entry in entries])


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Method to scenario to its figures over all objects, and the objects."""
    made: dict[str, Any] = {}
    for method in request.options["methods"]:
        own = [row["scenarios"] for row in rows if row["method"] == method]
        made[method] = {
            name: summary_of([row[name] for row in own if name in row], settings_of(request))
            for name in request.options["scenarios"]
            if any(name in row for row in own)
        }
    kept = {method: kept_over([row["kept"] for row in rows if row["method"] == method]) for method in made}
    return {"methods": made, "kept": kept, "erased": list(dict.fromkeys(row["erased"] for row in rows))}


def summary_of(entries: Sequence[Mapping[str, Any]], settings: AttackSettings) -> dict[str, Any]:
    """One scenario's figures over objects; for the re-learning curve the mean steps to half, a curve that never gets
    there counted with all its steps."""
    figure = figure_of(entries)
    summary = {
        "found": round(figure.found, 4),
        "floor": round(figure.floor, 4),
        "ceiling": round(figure.ceiling, 4),
        "pictures": figure.pictures,
        "returned": None if figure.returned is None else round(figure.returned, 4),
    }
    halves = [entry["half"] for entry in entries if "half" in entry]
    if halves:
        reached = [settings.relearn_steps if half is None else half for half in halves]
        summary |= {"half": round(sum(reached) / len(reached), 2), "never": halves.count(None)}
    return summary


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Method to scenario to the share found; for the re-learning curve its steps."""
    return {
        method: {name: entry.get("half", entry["found"]) for name, entry in scenarios.items()}
        for method, scenarios in summary["methods"].items()
    }


def table(result: Mapping[str, Any]) -> str:
    """The figures as text: a line for each scenario, a column for each method."""
    summary, methods = result["summary"], result["summary"]["methods"]
    names = [name for name in SCENARIOS if any(name in of for of in methods.values())]
    rows = [["share found", "floor", "ceiling", *methods]]
    for name in names:
        first = next(of[name] for of in methods.values() if name in of)
        cells = [f"{of[name]['found']:.2f}" if name in of else "-" for of in methods.values()]
        rows.append([SCENARIOS[name].title, f"{first['floor']:.2f}", f"{first['ceiling']:.2f}", *cells])
        if "half" in first:
            cells = [_half(of.get(name)) for of in methods.values()]
            rows.append(["  steps until half", "", "", *cells])
    kept = [f"{summary['kept'][method]['after']:.2f}" for method in methods]
    before = next(iter(summary["kept"].values()))["before"]
    rows.append(["other things asked for", "", f"{before:.2f}", *kept])
    what = "objects that the model never saw:" if UNKNOWN in methods else "erasures of"
    head = f"bench attack: {result['cases']} {what} {', '.join(summary['erased'])}, seed {result['seed']}"
    return f"{head}\n{aligned(rows)}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench attack``; 12 cases are two objects, each erased by six methods."""
    add_common_arguments(parser, cases=12)
    parser.add_argument("--methods", default=",".join(COMPARED), help="separated by commas (default: %(default)s)")
    parser.add_argument(
        "--scenarios", default=",".join(ASKED), help=f"of {', '.join(SCENARIOS)} (default: %(default)s)"
    )
    add_settings_argument(parser)
    parser.add_argument("--guard", choices=GUARDS, help="what guards the erased model's sampling (default: nothing)")
    parser.add_argument(
        "--random-vector", action="store_true", help="erase a random vector: the control, all must stay"
    )


def main(args: argparse.Namespace) -> int:
    """Run the command and print its table; returns the exit status."""
    changed = chosen_settings(args, PRESETS["small"])
    options: dict[str, Any] = {"methods": args.methods.split(","), "scenarios": args.scenarios.split(",")}
    chosen(options["scenarios"])  # refused before anything is loaded
    known = (*METHODS, NOTHING, UNKNOWN)
    unknown = [name for name in options["methods"] if name not in known]
    if unknown:
        raise ValueError(f"there is no method {unknown[0]}; there are {', '.join(known)}")
    if UNKNOWN in options["methods"] and (options["methods"] != [UNKNOWN] or options["scenarios"] != ["relearning"]):
        raise ValueError(f"an object that the model never saw can only be learnt; ask {LEARNT} and nothing else")
    if UNKNOWN in options["methods"] and args.guard:
        raise ValueError("the model as it is has no guard; leave out --guard, or name a method of erasing")
    if UNKNOWN in options["methods"] and args.split == "train":
        raise ValueError("the model saw all objects of --split train; take development or test")
    if NOTHING in options["methods"] and not args.guard:
        raise ValueError("without an erasure there is nothing to attack but a guard; name one with --guard")
    options |= {"set": changed} if changed else {}
    options |= {"random_vector": True} if args.random_vector else {}
    options |= {"guard": args.guard} if args.guard else {}
    return run_command(BENCH, args, options, CONTROLS)


def _half(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return "-"
    return f"{entry['half']:.0f}{'+' if entry['never'] else ''}"


def _each(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [entry for of in summary["methods"].values() for name, entry in of.items() if name != "relearning"]


def _moved(summary: Mapping[str, Any]) -> float:
    """How far figures lie from their ceilings, on average, where there is something to lose."""
    far = [abs(e["found"] - e["ceiling"]) for e in _each(summary) if e["ceiling"] - e["floor"] >= LEAST_SPAN]
    return sum(far) / len(far) if far else 1.0


def _found(summary: Mapping[str, Any]) -> float:
    entries = _each(summary)
    return sum(entry["found"] for entry in entries) / len(entries)


CONTROLS = (
    Control(
        "random_vector",
        "what erasing a random vector changes",
        _moved,
        0.15,
        {"random_vector": True, "methods": ["uce"]},
    ),
    Control("untrained", "objects found, a model at random weights", _found, 0.1, {"methods": ["uce"]}, untrained=True),
)
BENCH = Bench("attack", 1, prepare_attack, measure, figures, table, headline)
