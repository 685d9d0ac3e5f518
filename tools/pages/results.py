"""The parts of ``docs/results.md`` that are written from the files of the benches; here those about the lab model.

``python -m concept_atelier lab page`` writes them between two marks each: every aim beside what was found, with the
command. A file that is not there is said to be missing.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from ...bench.all.queue import FOLDER, queue
from ...bench.lab import FIGURES
from ...bench.summary import with_interval
from .cards import table
from .compose_results import PARTS as COMPOSE_PARTS
from .cost_results import PARTS as COST_PARTS
from .cost_results import erasing_methods, solving
from .erasure_overview import overview
from .erasure_results import attack_seeds, attacks, erased_counts, erased_kept_looks, erased_looks, erased_seeds, guards
from .explain_results import PARTS as EXPLAIN_PARTS
from .files import heading, missing, read, shown_command, verdict, with_part
from .method_results import PARTS as METHOD_PARTS
from .paper_rankings import rankings
from .recognise_results import RECOGNISED
from .surgery_results import SURGERY, measured
from .transformer_results import PARTS as TRANSFORMER_PARTS
from .word_results import PARTS as WORD_PARTS

Writer = Callable[[Path], str]
"""Writes a part of a page from a folder of files."""

LOCALISED = {
    "localize_fluent.json": "drawings by the hand that training saw",
    "localize_noto.json": "the same scenes drawn by noto, which this training did not see",
    "localize_twemoji.json": "the same scenes drawn by twemoji, which this training did not see",
    "localize_short.json": "shown a short caption",
    "localize_complete.json": "shown a complete caption",
}
"""File of ``bench localize`` to what is special in it."""


def with_results(page: str, folder: Path = FOLDER, parts: Mapping[str, Writer] | None = None) -> str:
    """The page with its marked parts written anew.

    Args:
        page: the text.
        folder: of the benches' files.
        parts: marked part to what writes it; those of ``docs/results.md`` where none are given.

    Raises:
        ValueError: for a page that lacks a mark, naming it.
    """
    for name, write in (PARTS if parts is None else parts).items():
        page = with_part(page, name, write(folder))
    return page


def lab_table(folder: Path) -> str:
    """Every figure of ``bench lab`` with its aim."""
    found = read(folder / "lab.json")
    if found is None:
        return missing("lab.json")
    rows = [["figure", "aim", "found", "reached"]]
    for name, (said, aim) in FIGURES.items():
        value = found["summary"][name]
        rows.append([said, "" if aim is None else f"{aim:g}", with_interval(value), verdict(value["mean"], aim)])
    gap = found["summary"]["name"]["mean"] - found["summary"]["synonym"]["mean"]
    rows.append(["a synonym's distance from its name", "0.05 or less", f"{gap:.3f}", verdict(-gap, -0.05)])
    return f"{heading(found, 'lab.json')}\n\n{table(rows)}"


def localised_table(folder: Path) -> str:
    """Concept localisation on several kinds of scenes."""
    rows = [["scenes", "number", "grid mIoU", "pixel mIoU", "command"]]
    for name, said in LOCALISED.items():
        found = read(folder / name)
        if found is None:
            rows.append([said, "", "not measured", "", f"`bench {queue()[name]}`"])
            continue
        scores = found["summary"]["all"]["scores"]["concepts"]
        values = [with_interval(scores[resolution]["miou"]) for resolution in ("grid", "pixel")]
        rows.append([said, str(found["cases"]), *values, f"`{shown_command(found, name)}`"])
    return table(rows)


PARTS: Mapping[str, Writer] = {
    "lab model": lab_table,
    "localisation by hand and caption": localised_table,
    **METHOD_PARTS,
    **COMPOSE_PARTS,
    **WORD_PARTS,
    **COST_PARTS,
}
"""Marked part of the page to what writes it."""

ERASURE: Mapping[str, Writer] = {
    "all methods": overview,
    "how many at once": erased_counts,
    "three seeds": erased_seeds,
    "styles and colours": erased_looks,
    "looks of kept objects": erased_kept_looks,
    "attacks": attacks,
    "attacks, three seeds": attack_seeds,
    "guards": guards,
    "solving": solving,
    "seconds and memory": erasing_methods,
}
"""The same of ``docs/erasure-results.md``."""

COMPOSE: Mapping[str, Writer] = {"papers beside the lab": rankings}
"""Marked part of ``docs/compose.md`` to what writes it."""

SKILLS: Mapping[str, Writer] = {part: partial(measured, part) for part in SURGERY}
"""The same of ``docs/surgery.md``."""

PAGES: Mapping[str, Mapping[str, Writer]] = {
    "results.md": PARTS,
    "erasure-results.md": ERASURE,
    "compose.md": COMPOSE,
    "surgery.md": SKILLS,
    "explain.md": EXPLAIN_PARTS,
    "recognise-results.md": RECOGNISED,
    "transformer-results.md": TRANSFORMER_PARTS,
}
"""Page of ``docs/`` to its marked parts and what writes each."""
