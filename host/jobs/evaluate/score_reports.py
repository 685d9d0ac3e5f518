"""Scores as people and programs read them: a few lines, CSV, JSON, files."""

import csv
import io
import json
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ....core.evaluate.scores import ConceptScores
from ...files.filename_tokens import fill_prefix
from ...files.names import inside
from ...files.saving import write_numbered

TOPS = (1, 3)
"""The k of ACC^k, as in the paper."""
COLUMNS = ("concept", "sim_i", "acc_1", "acc_3", "closest_other", "sim_other", "sim_c", "pictures", "candidates")
ALL = "(all)"


def describe_scores(scores: ConceptScores) -> str:
    """A line a concept, one of all, and what to make of them."""
    lines = [
        f"<{row['concept']}>: SIM^I {row['sim_i']:.3f}{_like(row)}, {_accuracies(row)}" for row in concept_rows(scores)
    ]
    total, many = mean_row(scores), len(scores.candidates)
    chances = ", ".join(f"{scores.chance(k):.2f}" for k in TOPS)
    lines.append(f"all: SIM^I {total['sim_i']:.3f}, SIM^C {total['sim_c']:.3f}, {_accuracies(total)}")
    lines.append(f"ACC^k: chosen from {many} concepts; guessing gives {chances}")
    if many <= max(TOPS):
        lines.append("Note: among so few concepts ACC^3 is always 1; connect PROTOTYPES to have more.")
    return "\n".join(lines)


def concept_rows(scores: ConceptScores) -> list[dict[str, Any]]:
    """Column to value, for every concept."""
    accuracies = [scores.accuracy(k).tolist() for k in TOPS]
    return [
        {
            "concept": name,
            "sim_i": value,
            **{f"acc_{k}": shares[number] for k, shares in zip(TOPS, accuracies, strict=True)},
            "closest_other": other or None,
            "sim_other": None if math.isnan(like) else like,
            "sim_c": None,
            "pictures": scores.draws,
            "candidates": len(scores.candidates),
        }
        for number, (name, value, (other, like)) in enumerate(
            zip(scores.names, scores.sim_i.tolist(), scores.nearest_other(), strict=True)
        )
    ]


def mean_row(scores: ConceptScores) -> dict[str, Any]:
    """The means over concepts, and SIM^C."""
    rows = concept_rows(scores)
    means = {key: sum(row[key] for row in rows) / len(rows) for key in ("sim_i", *(f"acc_{k}" for k in TOPS))}
    rest = {"closest_other": None, "sim_other": None, "sim_c": scores.sim_c}
    return {"concept": ALL, **means, **rest, "pictures": len(scores.composition), "candidates": len(scores.candidates)}


def scores_csv(scores: ConceptScores) -> str:
    """A line a concept and one of all (:data:`COLUMNS`), four decimals, nothing where a column says nothing."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in (*concept_rows(scores), mean_row(scores)):
        writer.writerow({key: f"{value:.4f}" if isinstance(value, float) else value for key, value in row.items()})
    return text.getvalue()


def scores_json(scores: ConceptScores, settings: Mapping[str, Any]) -> str:
    """Everything: settings, the rows of the CSV, and the cosine of every picture and every candidate."""
    pictures = {name: _rounded(rows.tolist()) for name, rows in zip(scores.names, scores.similarity, strict=True)}
    body = {
        "settings": dict(settings),
        "all": _plain(mean_row(scores)),
        "concepts": [_plain(row) for row in concept_rows(scores)],
        "candidates": list(scores.candidates),
        "similarity": pictures,
        "composition": _rounded(scores.composition.tolist()),
    }
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def save_reports(folder: Path, prefix: str, texts: Mapping[str, str]) -> list[Path]:
    """Write texts (file ending to text) as ``<prefix>_00001_.csv`` and so on, counting on from what is there.

    ``%year%`` and the like stand for the time. Raises :class:`~...files.names.BadNameError` for a prefix that would
    leave the folder.
    """
    stem = inside(folder, fill_prefix(prefix), "filename_prefix")
    writers = {ending: partial(_write_text, text) for ending, text in texts.items()}
    return write_numbered(stem, writers)[1]


def _write_text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


def _like(row: Mapping[str, Any]) -> str:
    return f" (closest other: {row['closest_other']} {row['sim_other']:.3f})" if row["closest_other"] else ""


def _accuracies(row: Mapping[str, Any]) -> str:
    return ", ".join(f"ACC^{k} {row[f'acc_{k}']:.2f}" for k in TOPS)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in row.items()}


def _rounded(values: Any) -> Any:
    return [_rounded(value) for value in values] if isinstance(values, list) else round(values, 4)
