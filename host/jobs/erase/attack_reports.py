"""The report of an erasure: what is gone, what stayed and what came back, as a page, a table and files."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ....core.attack.comparison import ERASED, GONE_WITH, GROUPS, NEIGHBOURS, OTHERS, SYNONYMS, Comparison
from ....core.attack.figures import Figure
from ....core.attack.run import Attack, Outcome
from ....core.erase.registry import METHODS
from ....core.files.metadata import texts_in
from ....core.messages import plain
from ....core.surgery.traces.audit import InsideAudit
from ....core.types import Erasure
from ...files.images import from_pil
from ...pictures.drawing import colour_of
from ...pictures.figure_table import BAD, GOOD, GROUND, MIDDLING, UNKNOWN, TableLine, figure_table
from ..contact_sheet import Caption, Row, contact_sheet
from ..surgery.traces import LEFT, audit_rows
from .attack_scenarios import attack_rows, curve_said, figure_row

TITLES = {
    ERASED: "Erased concepts",
    SYNONYMS: "Their synonyms",
    NEIGHBOURS: "Nearest neighbours",
    OTHERS: "Other things",
}
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "gone": GOOD,
    "partly back": MIDDLING,
    "back": BAD,
    "kept": GOOD,
    "loses some": MIDDLING,
    "lost": BAD,
}
"""Of verdicts; others are :data:`UNKNOWN`."""
KEPT, LOSES_SOME, LOST = 0.05, 0.25, 1.0
"""Shares of pictures that kept things may lose to count as kept, or as losing some."""
SIDE = 128
"""Pixels of a picture's longer side on the page."""
LEGEND = (
    "Each figure is a share of pictures. Floor: pictures without it. Ceiling: the original model.",
    "Grey band: from the floor to the ceiling. Dot: the erased model.",
)
COLUMNS = ("erased model", "floor", "ceiling")
UNCOUNTED = ("kept styles", "cost")
"""Parts of the table whose lines say something in place of a floor and a ceiling."""


@dataclass(frozen=True, eq=False)
class Report:
    """What is reported.

    Attributes:
        comparison: words before and after.
        attack: scenarios, where they were run.
        memory: peak in bytes, 0 where unknown.
        inside: what is left inside the erased model, where it was audited.
        edit: the erasure itself, where it was given.
    """

    comparison: Comparison
    attack: Attack | None
    memory: int
    inside: InsideAudit | None = None
    edit: Erasure | None = None


def table_rows(report: Report) -> list[dict[str, Any]]:
    """A row for each group, each word, likeness and style of kept pictures, each scenario, seconds and memory."""
    made = report.comparison
    rows: list[dict[str, Any]] = []
    for group in GROUPS:
        figure = made.figure(group)
        if figure is not None:
            rows.append({"part": "words", **figure_row(TITLES[group], figure, verdict_of(group, figure))})
            rows += [{"part": group, **_word_row(made, number)} for number in made.of(group)]
    kept = made.kept()
    if kept is not None:
        rows.append({"part": "kept pictures", **_kept_row(*kept)})
    styles = made.kept_style()
    if styles is not None:
        rows.append({"part": "kept styles", **_style_row(*styles)})
    for outcome in report.attack.outcomes if report.attack else ():
        rows.append({"part": "attack", **_attack_row(outcome)})
    if report.inside is not None:
        rows += [{"part": "inside", **row} for row in audit_rows(report.inside)]
    return rows + [{"part": "cost", **row} for row in _costs(report)]


def verdict_of(group: str, figure: Figure) -> str:
    """The verdict on a group in words: of words that shall go, whether they are gone; of others, whether they stay."""
    return figure.verdict if group in GONE_WITH else kept_verdict(figure.ceiling - figure.found)


def kept_verdict(lost: float) -> str:
    """Of things that shall stay, by the share of pictures that they lose."""
    if lost <= KEPT:
        return "kept"
    return "loses some" if lost <= LOSES_SOME else "lost"


def report_csv(report: Report) -> str:
    """All rows, a line each."""
    text, rows = io.StringIO(), table_rows(report)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def report_json(report: Report, settings: Mapping[str, Any]) -> str:
    """Settings, the erasure, all rows, the re-learning curve and what was left out."""
    attack = report.attack
    curves = {o.scenario.name: o.attempt.curve for o in (attack.outcomes if attack else ()) if o.attempt.curve}
    body = {
        "settings": dict(settings),
        "erasure": {} if report.edit is None else _edit_entries(report.edit),
        "rows": table_rows(report),
        "curves": {name: [list(point) for point in curve] for name, curve in curves.items()},
        "left out": dict(attack.left_out) if attack else {},
    }
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def report_text(report: Report) -> str:
    """A line for each group and scenario."""
    lines = []
    for row in table_rows(report):
        if row["part"] == "inside":
            lines.append(f"{row['what']}, inside: {row['erased model']:.0%}; {row['verdict']}")
        elif row["part"] in ("words", "attack"):
            shares = f"{row['erased model']:.0%} with the erased model, {row['original model']:.0%} with the original"
            lines.append(f"{row['what']}: found in {shares}; {row['verdict']}")
        elif row["part"] in ("kept pictures", "kept styles", "cost"):
            lines.append(f"{row['what']}: {row['verdict']}")
    return "\n".join(lines)


def report_page(report: Report) -> Tensor:
    """IMAGE (1, h, w, 3): the table, then pairs of pictures from the same noise, then the attacks' pictures."""
    rows = [row for group in GROUPS for number in report.comparison.of(group) for row in _pairs(report, number)]
    sheet = contact_sheet([*rows, *(attack_rows(report.attack) if report.attack else [])], SIDE)
    names = ", ".join(report.comparison.words[number] for number in report.comparison.of(ERASED))
    head = from_pil(figure_table(f"Erasure of {names}", table_lines(report), sheet.shape[2], LEGEND))[0][None]
    ground = sheet.new_tensor(GROUND).div(255).expand(*sheet.shape[:2], head.shape[2] - sheet.shape[2], 3)
    return torch.cat([head, torch.cat([sheet, ground], dim=2)], dim=1)


def table_lines(report: Report) -> list[TableLine]:
    """The table on the page."""
    lines, part = [], ""
    headings = {
        "words": "Asked for by name",
        "kept pictures": "Cosine to the original's; floor: other noise",
        "kept styles": "Style beside the original's",
        "attack": "Asked for in other ways",
        "inside": "Inside the model, beside the original",
        "cost": "Cost",
    }
    for row in table_rows(report):
        if row["part"] not in headings:
            continue
        if row["part"] != part:
            part = row["part"]
            lines.append(TableLine(headings[part], heading=True, cells=() if part in UNCOUNTED else COLUMNS))
        lines += _lines(row)
    return lines


def _lines(row: Mapping[str, Any]) -> list[TableLine]:
    """The line of a row; what a curve says stands below."""
    what, (verdict, _, more) = str(row["what"]), str(row["verdict"]).partition("; ")
    if "erased model" not in row:
        return [TableLine(what, said=str(row["verdict"]))]
    value, floor, ceiling = row["erased model"], row["floor"], row["original model"]
    if row["part"] == "kept pictures":
        cells = (f"{value:.2f}", f"{floor:.2f}", f"{ceiling:.2f}")
        return [TableLine(what, value, floor, ceiling, colour=UNKNOWN, cells=cells)]
    if row["part"] == "inside":
        cells = (f"{value:.0%}", f"{floor:.0%}", f"{ceiling:.0%}")
        return [TableLine(what, value, floor, ceiling, verdict, LEFT.get(verdict, UNKNOWN), cells=cells)]
    cells = (f"{value:.0%} of {row['pictures']:.0f}", f"{floor:.0%}", f"{ceiling:.0%}")
    line = TableLine(what, value, floor, ceiling, verdict, COLOURS.get(verdict, UNKNOWN), cells=cells)
    return [line, TableLine("", said=more)] if more else [line]


def _word_row(made: Comparison, number: int) -> dict[str, Any]:
    before, after = made.found(number)
    group = made.figure(made.groups[number])
    figure = Figure(
        float(after.float().mean()), group.floor if group else 0.0, float(before.float().mean()), len(after)
    )
    row = figure_row(made.words[number], figure, verdict_of(made.groups[number], figure))
    return row | {"likeness": round(float(made.likeness[number].mean()), 4)}


def _kept_row(likeness: float, spread: float) -> dict[str, Any]:
    row = figure_row("Likeness to the original's pictures", Figure(likeness, spread, 1.0, 0))
    said = f"{likeness:.2f} (two of one word: {spread:.2f})"
    return row | {"verdict": said, "likeness": round(likeness, 4)}


def _style_row(distance: float, spread: float) -> dict[str, Any]:
    said = f"{distance:.2f} (two of one word: {spread:.2f})"
    figures = {"style distance": round(distance, 4), "style distance of other noise": round(spread, 4)}
    return {"what": "Distance, 0 for the same", "verdict": said, **figures}


def _attack_row(outcome: Outcome) -> dict[str, Any]:
    row = figure_row(outcome.scenario.title, outcome.figure) | {"seconds": round(outcome.seconds, 1)}
    if outcome.attempt.curve:
        row |= {"steps to half": outcome.steps_to_half, "verdict": f"{row['verdict']}; {curve_said(outcome)}"}
    return row


def _costs(report: Report) -> list[dict[str, Any]]:
    before, after = report.comparison.seconds
    rows = [] if report.edit is None else [{"what": "The erasure", "verdict": _edit_said(report.edit)}]
    rows += [{"what": "Seconds for a picture", "verdict": f"{after:.2f}, with the original model {before:.2f}"}]
    if report.attack:
        seconds = sum(outcome.seconds for outcome in report.attack.outcomes)
        rows.append(
            {"what": "Seconds of the attacks", "verdict": f"{seconds:.0f}, {report.attack.passes} model passes"}
        )
    if report.memory:
        rows.append({"what": "Memory at most", "verdict": f"{report.memory / 2**30:.2f} GiB since the start"})
    return rows


def _edit_said(edit: Erasure) -> str:
    """The method of an erasure and how long it took."""
    method = edit.metadata.get("method", "")
    name = METHODS[method].title if method in METHODS else plain(method) or "method not known"
    return f"{name}, {'time not known' if edit.seconds is None else f'{edit.seconds:.1f} seconds'}"


def _edit_entries(edit: Erasure) -> dict[str, Any]:
    """What an erasure says of itself, and how long it took."""
    lists = {
        name: list(texts_in(edit.metadata, name, "this erasure"))
        for name in ("concepts", "anchors", "preserve")
        if name in edit.metadata
    }
    seconds = None if edit.seconds is None else round(edit.seconds, 3)
    return {"method": edit.metadata.get("method"), **lists, "strength": edit.strength, "seconds": seconds}


def _pairs(report: Report, number: int) -> list[Row]:
    """Two rows of a word: the original's pictures, and the erased model's from the same noise."""
    made = report.comparison
    before, after = made.found(number)
    goes = made.groups[number] in GONE_WITH
    title = f"{TITLES[made.groups[number]]}: {made.words[number]}   found {float(before.float().mean()):.0%} before, "
    colour = colour_of(GROUPS.index(made.groups[number]))
    return [
        Row(
            f"{title}{float(after.float().mean()):.0%} after",
            colour,
            None,
            made.before[number],
            _seen(before, torch.zeros_like(before)),
            "original model",
        ),
        Row("", colour, None, made.after[number], _seen(after, after if goes else ~after), "erased model"),
    ]


def _seen(found: Tensor, wrong: Tensor) -> Sequence[Caption]:
    return [
        Caption("found" if one else "not found", bad) for one, bad in zip(found.tolist(), wrong.tolist(), strict=True)
    ]
