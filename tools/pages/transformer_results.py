"""The tables of ``docs/transformer-results.md``: the lab transformer beside the lab UNet.

Each row is a file of a bench. Where the transformer's has fewer cases, its command says how many.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ...bench.all.queue import queue
from ...bench.all.transformers import FOLDER
from ...bench.explain.explain import SCORES as EXPLAINED
from ...bench.explain.steer import FIGURES as STEERING
from ...bench.explain.steer import WAYS
from ...bench.lab import FIGURES
from ...bench.summary import with_interval
from ...bench.words.cases import KINDS
from ...core.compose.registry import METHODS as COMPOSING
from ...core.erase.registry import METHODS as ERASING
from ...core.learn.registry import METHODS as LEARNING
from .cards import table
from .erasure_results import single
from .files import controls, heading, missing, read, shown_command, verdict
from .method_results import COMPOSED
from .word_results import sweep, word_sweep

AIMS = {"one_object": 0.90, "two_objects": 0.70}
"""Of the transformer's drawings."""

Columns = Mapping[str, Callable[[Mapping[str, Any]], Any]]
"""Head of a column to its figure in a bench's summary."""


def drawings(folder: Path) -> str:
    """``bench lab`` of both."""
    unet, own = read(folder / "lab.json"), read(folder / FOLDER / "lab.json")
    if own is None:
        return missing(f"{FOLDER}/lab.json")
    rows = [["figure", "aim", "lab UNet", "lab transformer", "reached"]]
    for name, (said, _) in FIGURES.items():
        if name.startswith(("vae", "judge")):  # of parts that both share
            continue
        aim, value = AIMS.get(name), own["summary"][name]
        of_unet = with_interval(unet["summary"][name]) if unet else "not measured"
        rows.append([said, f"{aim:g}" if aim else "", of_unet, with_interval(value), verdict(value["mean"], aim)])
    said = heading(own, f"{FOLDER}/lab.json")
    return "\n\n".join(part for part in (said, table(rows), controls(own)) if part)


def beside(folder: Path, files: Mapping[str, tuple[str, str]], columns: Columns) -> str:
    """A row for every file, which ``files`` gives two names: the model's, and what was done."""
    rows = [["model", "what", "cases", *columns, "command"]]
    for name, (model, said) in files.items():
        found = read(folder / name)
        if found is None:
            rows.append([model, said, "not measured", *[""] * len(columns), f"`bench {queue()[name]}`"])
            continue
        values = [of(found["summary"]) for of in columns.values()]
        cells = [with_interval(value) if value else "" for value in values]
        rows.append([model, said, str(found["cases"]), *cells, f"`{shown_command(found, name)}`"])
    return table(rows)


def at(*path: str) -> Callable[[Mapping[str, Any]], Any]:
    """What lies at a path of a summary; None where nothing does."""

    def read_at(summary: Mapping[str, Any]) -> Any:
        found: Any = summary
        for name in path:
            found = (found or {}).get(name)
        return found

    return read_at


def of_both(files: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Every file of the UNet, and the transformer's beside it."""
    found: dict[str, tuple[str, str]] = {}
    for name, said in files.items():
        found |= {name: ("UNet", said), f"{FOLDER}/{name}": ("transformer", said)}
    return found


WORDS = of_both({"words.json": "attention, complete captions", "words_short.json": "attention, names alone"}) | {
    f"{FOLDER}/words_concepts.json": ("transformer", "concepts, complete captions"),
    f"{FOLDER}/words_concepts_short.json": ("transformer", "concepts, names alone"),
}
WORD_COLUMNS: Columns = {
    **{f"{kind}, Otsu's threshold": at("all", kind, "iou_otsu") for kind in KINDS},
    "names, above 0.4": at("all", "name", "iou"),
    "names, best threshold": at("all", "name", "iou_best"),
    "names, pointing game": at("all", "name", "point"),
    "judge loses the object": at("all", "name", "gone"),
}

LOCALIZED = of_both(
    {
        "localize.json": "`conceptexpress`",
        "localize_known_count.json": "the same, told the count",
        "localize_attencraft.json": "`attencraft`, told the names",
    }
)
LOCALIZED_COLUMNS: Columns = {
    "grid mIoU": at("all", "scores", "concepts", "grid", "miou"),
    "pixel mIoU": at("all", "scores", "concepts", "pixel", "miou"),
    "precision": at("all", "scores", "concepts", "pixel", "precision"),
    "count off by": at("all", "scores", "concepts", "pixel", "count_error"),
}

LEARNT = of_both(
    {f"learn/{name}_test.json": LEARNING[name].title for name in ("conceptexpress", "cones", "attencraft")}
)
LEARNT_COLUMNS: Columns = {
    f"{group}: {said}": at(group, score)
    for group in ("seen", "unseen")
    for score, said in (("sim_i", "SIM^I"), ("acc1", "ACC^1"))
}

ERASED = of_both(
    {single(name): ERASING[name].title for name in ("uce", "rece", "speed", "mace", "realera", "hirm")}
    | {f"erase/{name}_10.json": f"{ERASING[name].title}, 10 at once" for name in ("uce", "speed", "realera")}
    | {f"erase/{name}_styles.json": f"{ERASING[name].title}, a style" for name in ("uce", "speed")}
)
ERASED_COLUMNS: Columns = {
    "erased object": at("found_after"),
    "by a synonym": at("found_after_synonym"),
    "other objects before": at("others_before"),
    "and after": at("others_after"),
    "nearest names after": at("neighbours_after"),
    "erased style": at("style_found_after"),
}
COMPOSITIONS = of_both(
    {
        "compose.json": "the prompt alone",
        "compose/area.json": "stock area conditioning, in boxes",
        "compose/attention_couple.json": f"{COMPOSING['attention_couple'].title}, in boxes",
        "compose/t2i_zero.json": COMPOSING["t2i_zero"].title,
    }
)
COMPOSED_COLUMNS: Columns = {said: at(name) for name, said in COMPOSED.items()}

INGREDIENTS = of_both({f"explain/{name}.json": f"`{name}`" for name in ("kmeans", "semi_nmf", "topk_sae", "ra_sae")})
INGREDIENTS_COLUMNS: Columns = {said: at("object", score) for score, said in EXPLAINED.items()}
STEERED = of_both({"explain/steer.json": "an object taken out"})
STEERED_COLUMNS: Columns = {
    f"{said}: {shown}": at(way, name) for way, said in WAYS.items() for name, shown in STEERING.items()
}

PARTS: Mapping[str, Callable[[Path], str]] = {
    "drawings": drawings,
    "words": partial(beside, files=WORDS, columns=WORD_COLUMNS),
    "sweep of words": partial(word_sweep, name=f"{FOLDER}/words_sweep.json"),
    "sweep of clustering": partial(sweep, name=f"{FOLDER}/localize_sweep.json"),
    "localising": partial(beside, files=LOCALIZED, columns=LOCALIZED_COLUMNS),
    "learning": partial(beside, files=LEARNT, columns=LEARNT_COLUMNS),
    "erasing": partial(beside, files=ERASED, columns=ERASED_COLUMNS),
    "sweep of probes": partial(sweep, name=f"{FOLDER}/explain/sweep.json"),
    "ingredients": partial(beside, files=INGREDIENTS, columns=INGREDIENTS_COLUMNS),
    "steering": partial(beside, files=STEERED, columns=STEERED_COLUMNS),
    "composing": partial(beside, files=COMPOSITIONS, columns=COMPOSED_COLUMNS),
}
"""Marked part of the page to what writes it."""
