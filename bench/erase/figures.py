"""The figures of ``bench erase``."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..harness import Request, Row
from ..summary import aligned, interval, with_interval
from .looks import looks_kept

FIGURES = {
    "found_before": ("erased object found before", None),
    "found_after": ("erased object found after", 0.02),
    "found_before_synonym": ("asked for by a synonym, before", None),
    "found_after_synonym": ("asked for by a synonym, after", 0.1),
    "others_before": ("other objects found before", None),
    "others_after": ("other objects found after", None),
    "preserved_after": ("of those, on the preserve list", None),
    "free_after": ("of those, not on it", None),
    "neighbours_before": ("the nearest four names, before", None),
    "neighbours_after": ("the nearest four names, after", None),
    "kept_style": ("other objects found both times: in the same style", None),
    "kept_style_chance": ("two different objects before: in the same style", None),
    "kept_colour": ("other objects found both times: in the same colour", None),
    "kept_colour_chance": ("two different objects before: in the same colour", None),
    "style_found_before": ("erased style found before", None),
    "style_found_after": ("erased style found after", None),
    "style_others_before": ("objects found before, without the style", None),
    "style_others_after": ("of those, after its erasure", None),
    "colour_found_before": ("erased colour found before", None),
    "colour_found_after": ("erased colour found after", None),
    "colour_others_before": ("objects found before, without the colour", None),
    "colour_others_after": ("of those, after its erasure", None),
}
"""Figure to what it says and the aim."""


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Means over cases with intervals, how many pairs of pictures of others, and a table per erased object."""
    objects = [row for row in rows if row["what"] == "object"]
    chosen = {
        "found": [(row["targets"], None) for row in objects],
        "synonym": [(row["synonyms"], None) for row in objects if row["synonyms"]],
        "others": [(row["others"], None) for row in objects],
        "preserved": [(row["others"], "preserved") for row in objects],
        "neighbours": [(row["others"], "neighbour") for row in objects],
    }
    for look in ("style", "colour"):
        own = [row for row in rows if row["what"] == look]
        chosen[f"{look}_found"] = [(row["targets"], None) for row in own]
        chosen[f"{look}_others"] = [(row["others"], None) for row in own if row["others"]]
    found: dict[str, Any] = {}
    for name, listed in chosen.items():
        for when in ("before", "after"):
            values = [_share(entries, when, flag) for entries, flag in listed]
            key = f"found_{when}_synonym" if name == "synonym" else f"{name}_{when}"
            found[key] = interval(values, request.seed) if values else None
    free = [_share([e for e in row["others"] if not e["preserved"]], "after") for row in objects]
    found["free_after"] = interval(free, request.seed) if free else None
    looks = [looks_kept(row["others"]) for row in objects]
    for name in (name for name in FIGURES if name.startswith("kept_")):
        values = [of[name] for of in looks if name in of]
        found[name] = interval(values, request.seed) if values else None
    pairs = sum(len(row["others"]) for row in objects)
    return {name: found[name] for name in FIGURES} | {"pairs_of_others": pairs, "per_concept": per_concept(objects)}


def per_concept(rows: Sequence[Row]) -> dict[str, Any]:
    """Erased object to its found share before and after, and its neighbours'."""
    found: dict[str, Any] = {}
    for row in rows:
        near = {e["asked"]: [e["before"], e["after"]] for e in row["others"] if e["neighbour"]}
        shares = [round(_share(row["targets"], when), 4) for when in ("before", "after")]
        found[row["erased"]] = {"found": shares, "neighbours": near}
    return found


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    summary = result["summary"]
    rows = [
        [said, with_interval(summary.get(name)), "" if aim is None else f"<= {aim:g}"]
        for name, (said, aim) in FIGURES.items()
    ]
    head = (
        f"bench erase: {result['cases']} erasures, seed {result['seed']}, "
        f"{summary['pairs_of_others']} same-seed pairs of other objects; 95% intervals"
    )
    concepts = [["erased", "before", "after", "nearest names (kept of those found before)"]]
    for name, entry in summary["per_concept"].items():
        near = [f"{other} {'kept' if now else 'lost'}" for other, (was, now) in entry["neighbours"].items() if was]
        concepts.append([name, *(f"{share:.2f}" for share in entry["found"]), ", ".join(near) or "-"])
    return f"{head}\n{aligned([['', 'found', 'aim'], *rows])}\n\n{aligned(concepts)}\n"


def _share(entries: Sequence[Mapping[str, Any]], when: str, flag: str | None = None) -> float:
    chosen = [entry[when] for entry in entries if flag is None or entry[flag]]
    return sum(chosen) / len(chosen)
