"""The tables of ``docs/results.md`` about the methods: localising, matching, learning, erasing, scoring.

Each is written from the files of its bench, by :mod:`.results`. A file that is not there is said to be missing.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...bench.all.localizing import LOCALIZERS
from ...bench.all.queue import queue
from ...bench.learn.entries import combine
from ...bench.learn.entries import read as read_entry
from ...bench.learn.ranking import rows_of
from ...bench.learn.token_maps import MAP_SCORES
from ...bench.summary import interval, with_interval
from ...core.localize.registry import METHODS as LOCALIZING
from .cards import table
from .erasure_results import erasers, erasing
from .files import controls, heading, missing, over_seeds, read, verdict

Figure = Mapping[str, float]

OUTLINES = {
    "concepts": "**Localize Concepts**, all scenes",
    "smooth": "the same with smooth outlines",
    "ceiling_edges": "ceiling: exact masks to the grid and back, along edges",
    "ceiling": "ceiling with smooth outlines",
    "kmeans_rows": "k-means of the attention rows, given the count",
    "kmeans_colours": "k-means of colours, given the count",
    "random": "random boxes",
    "shuffled": "the exact masks of another scene",
}
WAYS = {
    "localize.json": ("`small`", "nothing"),
    "localize_known_count.json": ("`small` (`--known-count`)", "the count"),
    "localize_touching.json": ("`small`, touching objects", "nothing"),
    "localize_touching_known_count.json": ("the same (`--known-count`)", "the count"),
    "localize_alike.json": ("`small`, two objects of a kind", "nothing"),
    **{
        f"localize_{name}.json": (f"`--method {name}`", "the names" if "words" in LOCALIZING[name].needs else "nothing")
        for name in LOCALIZERS
    },
    "localize_paper.json": ("`--preset paper`", "nothing"),
}
UNSEEN = ("", *(f"--method {name}" for name in LOCALIZERS), "--preset paper")
"""Ways of localising that are measured on unseen objects too, as arguments of the bench."""

VARYING = re.compile(r" --(cases|seed|controls) \d+")
"""Arguments in which files of one way differ."""

MATCHES = {
    "match_test.json": ("another style", "test"),
    "match.json": ("another style", "development"),
    "match_same_style.json": ("the same style (`--same-style`)", "development"),
}
GRID_AIM = 0.60


def localisation(folder: Path) -> str:
    """``bench localize`` beside its ceilings and baselines."""
    found = read(folder / "localize.json")
    if found is None:
        return missing("localize.json")
    several = [found["summary"][f"objects={count}"] for count in (2, 3)]
    total = sum(group["cases"] for group in several)
    grid = sum(group["cases"] * group["scores"]["concepts"]["grid"]["miou"]["mean"] for group in several) / total
    rows = [
        ["figure", "aim", "found at pixels", "found on the grid", "reached"],
        [
            "**Localize Concepts**, two and three objects",
            f"{GRID_AIM:.2f} on the grid",
            "",
            f"{grid:.3f}",
            verdict(grid, GRID_AIM),
        ],
    ]
    for name, said in OUTLINES.items():
        scores = found["summary"]["all"]["scores"][name]
        values = [with_interval(scores[at]["miou"]) if at in scores else "" for at in ("pixel", "grid")]
        rows.append([said, "", *values, ""])
    own = found["summary"]["all"]["scores"]["concepts"]["pixel"]
    said = (
        f"At pixels and IoU 0.5, recall is {own['recall']['mean']:.3f}, precision {own['precision']['mean']:.3f} and "
        f"ARI {own['ari']['mean']:.3f}; the number of concepts is off by {own['count_error']['mean']:.2f} on average. "
        f"{controls(found)}"
    )
    return f"{heading(found, 'localize.json')}\n\n{table(rows)}\n\n{said}"


def other_ways(folder: Path) -> str:
    """``bench localize`` on harder scenes, and by other methods."""
    rows = [["way", "given", "scenes", "grid", "pixels", "precision", "count off by"]]
    for name, (said, given) in WAYS.items():
        found = read(folder / name)
        if found is None:
            rows.append([said, given, "not measured", "", "", "", ""])
            continue
        scores = found["summary"]["all"]["scores"]["concepts"]
        pixel = scores["pixel"]
        values = [scores["grid"]["miou"], pixel["miou"], pixel["precision"], pixel["count_error"]]
        rows.append([said, given, str(found["cases"]), *(f"{value['mean']:.3f}" for value in values)])
    return table(rows)


def unseen_objects(folder: Path) -> str:
    """``bench localize`` on objects that training saw and on others, over seeds."""
    rows = [["way", "seeds", "trained on: grid", "pixels", "never seen: grid", "pixels"]]
    for way in UNSEEN:
        seen, unseen = (files_of(folder, way, unseen) for unseen in (False, True))
        cells = [_iou_over_seeds(files, at) for files in (seen, unseen) for at in ("grid", "pixel")]
        rows.append([f"`{way or '--preset small'}`", f"{len(seen)} and {len(unseen)}", *cells])
    return table(rows)


def files_of(folder: Path, way: str, unseen: bool) -> list[Mapping[str, Any]]:
    """What was measured of a way of localising, given as arguments of the bench, with any seed."""
    wanted = set(f"localize --split test {way}{' --unseen' * unseen}".split())
    names = [name for name, command in queue().items() if set(VARYING.sub("", command).split()) == wanted]
    return [found for found in (read(folder / name) for name in names) if found is not None]


def _iou_over_seeds(files: Sequence[Mapping[str, Any]], at: str) -> str:
    """Mean IoU over seeds, with the lowest and the highest."""
    values = [entry["summary"]["all"]["scores"]["concepts"][at]["miou"]["mean"] for entry in files]
    return over_seeds(values) if values else "not measured"


def matching(folder: Path) -> str:
    """``bench match``."""
    rows = [["second picture in", "split", "pairs", "paired rightly", "by mean colour", "by chance"]]
    for name, (said, split) in MATCHES.items():
        found = read(folder / name)
        if found is None:
            rows.append([said, split, "not measured", "", "", ""])
            continue
        every = found["summary"]["all"]
        values = [with_interval(every["matched"]), with_interval(every["colour"]), f"{every['chance']['mean']:.3f}"]
        rows.append([said, split, str(found["cases"]), *values])
    return table(rows)


def learning(folder: Path) -> str:
    """``bench learn``: the methods beside one another, seeds joined."""
    names = [name for name in queue() if name.startswith("learn/") and name.endswith("_test.json")]
    there = [folder / name for name in names if (folder / name).exists()]
    if not there:
        return missing("learn/conceptexpress_test.json")
    said = controls(read(folder / "learn/conceptexpress_test.json") or {})
    return "\n\n".join(part for part in (table(rows_of(combine([read_entry(path) for path in there]))), said) if part)


def token_maps(folder: Path) -> str:
    """``bench learn --maps``: a row for each weight of the cycle loss, and the difference over the same objects."""
    heads = {"map_iou": "IoU of maps", "map_point": "largest on the object", "acc1": "ACC^1", "sim_i": "SIM^I"}
    rows = [["way", "scenes", *(f"{said}, {of}" for of in ("seen", "unseen") for said in heads.values())]]
    there: list[Mapping[str, Any]] = []
    for name, title in MAPPED.items():
        found = read(folder / name)
        if found is None:
            rows.append([f"{title}: not measured: `bench {queue()[name]}`", *[""] * (len(rows[0]) - 1)])
            continue
        there.append(found)
        values = [with_interval(found["summary"][of][key]) for of in ("seen", "unseen") for key in heads]
        rows.append([title, str(found["cases"]), *values])
    if len(there) < len(MAPPED):
        return table(rows)
    plain, cycle = ([entry for row in found["rows"] for entry in row["objects"]] for found in there)
    gaps = {key: [two[key] - one[key] for one, two in zip(plain, cycle, strict=True)] for key in MAP_SCORES}
    said = [f"{heads[key]} {with_interval(interval(values, 0))}" for key, values in gaps.items()]
    return f"{table(rows)}\n\nWith the cycle loss less without it, over {len(plain)} objects: {', '.join(said)}."


MAPPED = {
    "learn/conceptexpress_maps.json": "ConceptExpress `small`",
    "learn/conceptexpress_maps_cycle.json": "the same, `cycle_weight=0.5`",
}
"""File of ``bench learn --maps`` to what it measured; the first without the cycle loss, the second with it."""


def scoring(folder: Path) -> str:
    """``bench score``."""
    found = read(folder / "score.json")
    if found is None:
        return missing("score.json")
    rows = [["source", "SIM^I", "similarity to any other object", "to the nearest other object", "ACC^1", "ACC^3"]]
    for name, figures in found["summary"].items():
        alone = [f"{figures[key]['mean']:.3f}" for key in ("sim_i", "other", "nearest")]
        rows.append([name, *alone, *(with_interval(figures[key]) for key in ("acc1", "acc3"))])
    chance = next(iter(found["summary"].values()))["chance"]["mean"]
    rows.append(["guessing", "", "", "", f"{chance:.3f}", f"{3 * chance:.3f}"])
    return f"{heading(found, 'score.json')}\n\n{table(rows)}\n\n{controls(found)}"


PARTS = {
    "localisation": localisation,
    "other ways to localise": other_ways,
    "unseen objects": unseen_objects,
    "matching": matching,
    "learning": learning,
    "maps of learnt tokens": token_maps,
    "erasing": erasing,
    "methods of erasing": erasers,
    "scoring": scoring,
}
"""Marked part of the page to what writes it."""
