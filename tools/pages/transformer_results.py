"""The tables of ``docs/transformer-results.md``: the lab transformer beside the lab UNet.

Each row is a file of a bench. Where the transformer's has fewer cases, its command says how many.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ...bench.all.queue import queue
from ...bench.all.transformers import COMPOSED as COMPOSED_THERE
from ...bench.all.transformers import ERASED as ERASED_THERE
from ...bench.all.transformers import FOLDER
from ...bench.compose.compose import SIMILARITIES
from ...bench.explain.audit import FIGURES as AUDITED
from ...bench.explain.explain import SCORES as EXPLAINED
from ...bench.explain.importance import FIGURES as IMPORTANCE
from ...bench.explain.importance import WAYS as MEASURES
from ...bench.explain.steer import FIGURES as STEERING
from ...bench.explain.steer import WAYS
from ...bench.lab import FIGURES
from ...bench.summary import with_interval
from ...bench.words.cases import KINDS
from ...core.erase.registry import METHODS as ERASING
from ...core.learn.registry import METHODS as LEARNING
from .cards import table
from .compose_results import COMPOSED, CORRECTED, PLAIN, same_cases, same_cases_said, shown_value, squares, titles
from .compose_results import LEARNT as COMPOSED_LEARNT
from .compose_results import ways as composed_ways
from .erasure_results import single
from .explain_results import MEASURED
from .files import controls, heading, missing, read, shown_command, verdict
from .transformer_attacks import attacks
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
    said = f"Transformer: {heading(own, f'{FOLDER}/lab.json')}"
    if unet:
        said += f" UNet: {heading(unet, 'lab.json')}"
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


WORDS = of_both(
    {
        "words.json": "attention, complete captions",
        "words_short.json": "attention, names alone",
        "words_information.json": "information, complete captions",
        "words_both.json": "mean of attention and information, complete captions",
    }
) | {
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
        "localize_known_count.json": "the same, with the true count",
        "localize_paper.json": "`conceptexpress`, preset `paper`",
        "localize_attencraft.json": "`attencraft`, given the names",
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
    {single(name): ERASING[name].title for name in ERASED_THERE}
    | {f"erase/{name}_10.json": f"{ERASING[name].title}, 10 at once" for name in ("uce", "speed", "realera")}
    | {f"erase/{name}_styles.json": f"{ERASING[name].title}, a style" for name in ("uce", "speed")}
    | {"erase/uce_colours.json": f"{ERASING['uce'].title}, a colour"}
)
ERASED_COLUMNS: Columns = {
    "erased object": at("found_after"),
    "by a synonym": at("found_after_synonym"),
    "other objects before": at("others_before"),
    "and after": at("others_after"),
    "nearest names after": at("neighbours_after"),
    "erased style": at("style_found_after"),
    "erased colour": at("colour_found_after"),
}
COMPOSITIONS = of_both(
    {"compose.json": PLAIN}
    | {f"compose/{name}.json": titles()[name] for name in COMPOSED_THERE}
    | {f"compose/{SIMILARITIES}.json": CORRECTED}
)

INGREDIENTS = of_both({f"explain/{name}.json": f"`{name}`" for name in MEASURED})
INGREDIENTS_COLUMNS: Columns = {said: at("object", score) for score, said in EXPLAINED.items()}


def both(folder: Path, name: str) -> tuple[list[tuple[str, Mapping[str, Any], str]], list[str]]:
    """Of the UNet's file and the transformer's those that are there, by model; and what commands made them."""
    files = [(model, read(folder / file), file) for file, (model, _) in of_both({name: ""}).items()]
    found = [(model, one, file) for model, one, file in files if one is not None]
    lines = [f"{model}: {heading(one, file)}" for model, one, file in found]
    return found, lines + [missing(file) for _, one, file in files if one is None]


def compositions(folder: Path) -> str:
    """``bench compose`` of both; a way with fewer cases is followed by the prompt alone over the same cases."""
    rows = [["model", "what", "cases", *COMPOSED.values(), "command"]]

    def row(model: str, said: str, found: Mapping[str, Any], command: str) -> list[str]:
        cells = [shown_value(key, found["summary"].get(key)) for key in COMPOSED]
        return [model, said, str(found["cases"]), *cells, command]

    for name, (model, said) in COMPOSITIONS.items():
        found = read(folder / name)
        if found is None:
            rows.append([model, said, "not measured", *[""] * len(COMPOSED), f"`bench {queue()[name]}`"])
            continue
        rows.append(row(model, said, found, f"`{shown_command(found, name)}`"))
        plain = f"{FOLDER}/compose.json" if name.startswith(FOLDER) else "compose.json"
        same = same_cases(read(folder / plain), found)
        if same is not None:
            rows.append(row(model, same_cases_said(same["cases"]), same, ""))
    return table(rows)


def learnt_tokens(folder: Path) -> str:
    """Every way with learnt tokens on the transformer."""
    files = {f"{FOLDER}/compose/{name}_learnt.json": titles()[name] for name in ("plain", *COMPOSED_THERE)}
    return composed_ways(folder, files, f"{FOLDER}/compose/plain_learnt.json", COMPOSED_LEARNT)


def ways(folder: Path, name: str, said_of: Mapping[str, str], figures: Mapping[str, str]) -> str:
    """The figures of several ways of doing something, both models side by side.

    Args:
        folder: of results.
        name: the UNet's file; the transformer's has the same name in its folder.
        said_of: way to its name for people.
        figures: of each way, to their names for people.
    """
    found, lines = both(folder, name)
    rows = [["", *(f"{model}: {shown}" for shown in figures.values() for model, _, _ in found)]]
    for way, said in said_of.items():
        read_at = [at(way, figure) for figure in figures]
        rows.append([said, *(with_interval(of(one["summary"])) for of in read_at for _, one, _ in found)])
    return "\n\n".join([*lines, table(rows)])


def audited(folder: Path) -> str:
    """``bench audit`` of both: a row for each figure."""
    found, lines = both(folder, "explain/audit.json")
    rows = [["in a pair of folders, on average", *(model for model, _, _ in found)]]
    rows += [[said, *(with_interval(one["summary"][key]) for _, one, _ in found)] for key, said in AUDITED.items()]
    return "\n\n".join([*lines, table(rows)])


PARTS: Mapping[str, Callable[[Path], str]] = {
    "drawings": drawings,
    "words": partial(beside, files=WORDS, columns=WORD_COLUMNS),
    "sweep of words": partial(word_sweep, name=f"{FOLDER}/words_sweep.json"),
    "sweep of concepts": partial(word_sweep, name=f"{FOLDER}/words_concepts_sweep.json"),
    "sweep of clustering": partial(sweep, name=f"{FOLDER}/localize_sweep.json"),
    "sweep of clustering, saliency 1.7": partial(sweep, name=f"{FOLDER}/localize_sweep_17.json"),
    "localising": partial(beside, files=LOCALIZED, columns=LOCALIZED_COLUMNS),
    "learning": partial(beside, files=LEARNT, columns=LEARNT_COLUMNS),
    "erasing": partial(beside, files=ERASED, columns=ERASED_COLUMNS),
    "attacks": attacks,
    "sweep of probes": partial(sweep, name=f"{FOLDER}/explain/sweep.json"),
    "ingredients": partial(beside, files=INGREDIENTS, columns=INGREDIENTS_COLUMNS),
    "importance": partial(
        ways, name="explain/importance.json", said_of={way: f"`{way}`" for way in MEASURES}, figures=IMPORTANCE
    ),
    "audits": audited,
    "steering": partial(ways, name="explain/steer.json", said_of=WAYS, figures=STEERING),
    "composing": compositions,
    "composing in squares": partial(squares, model=f"{FOLDER}/"),
    "composing learnt tokens": learnt_tokens,
}
"""Marked part of the page to what writes it."""
