"""Means with intervals over the cases of a bench, by group, and as text."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .harness import Request
from .metrics import bootstrap_interval

Row = Mapping[str, Any]
Summary = dict[str, dict[str, Any]]

GROUPINGS: dict[str, Callable[[Row], str]] = {
    "all": lambda row: "all",
    "objects": lambda row: f"objects={row['objects']}",
    "background": lambda row: f"background={row['background']}",
}
METRICS: dict[str, Callable[[Mapping[str, float]], float]] = {
    "miou": lambda score: score["miou"],
    "recall": lambda score: score["recall"],
    "precision": lambda score: score["precision"],
    "ari": lambda score: score["ari"],
    "count_error": lambda score: abs(score["count_error"]),
    "count_bias": lambda score: score["count_error"],
}


def summarise(rows: Sequence[Row], seed: int) -> Summary:
    """Group to ``{"cases": n, "scores": {method: {resolution: {metric: {mean, low, high}}}}}``.

    ``low`` and ``high`` bound the 95 % bootstrap interval over cases. ``count_error`` is the mean of its absolute
    value, ``count_bias`` the mean with its sign.
    """
    groups: dict[str, list[Row]] = {}
    for grouping in GROUPINGS.values():
        for row in rows:
            groups.setdefault(grouping(row), []).append(row)
    return {
        name: {"cases": len(groups[name]), "scores": _scores(groups[name], seed)}
        for name in sorted(groups, key=lambda name: (name != "all", not name.startswith("objects"), name))
    }


def _scores(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    return {
        method: {
            resolution: {
                metric: interval([read(row["scores"][method][resolution]) for row in rows], seed)
                for metric, read in METRICS.items()
            }
            for resolution in resolutions
        }
        for method, resolutions in rows[0]["scores"].items()
    }


def interval(values: Sequence[float], seed: int) -> dict[str, float]:
    """Mean and 95 % bootstrap interval, rounded to four digits."""
    low, high = bootstrap_interval(values, seed)
    return {"mean": round(sum(values) / len(values), 4), "low": round(low, 4), "high": round(high, 4)}


def means(entries: Mapping[str, Any]) -> dict[str, float]:
    """The means of those entries that are intervals."""
    return {name: entry["mean"] for name, entry in entries.items() if isinstance(entry, Mapping) and "mean" in entry}


def miou_table(summary: Summary, methods: Mapping[str, str], resolution: str) -> str:
    """Mean IoU of every method (key to heading) by group, with intervals."""
    head = ["", "cases", *methods.values()]
    body = []
    for name, group in summary.items():
        scores = [group["scores"][method].get(resolution) for method in methods]
        body.append([name, str(group["cases"]), *(with_interval(score and score["miou"]) for score in scores)])
    return aligned([head, *body])


def detail_table(summary: Summary, method: str, resolution: str) -> str:
    """Every metric of one method by group."""
    body = [
        [name, *(f"{group['scores'][method][resolution][metric]['mean']:.3f}" for metric in METRICS)]
        for name, group in summary.items()
    ]
    return aligned([["", *METRICS], *body])


def with_interval(value: Mapping[str, float] | None) -> str:
    """``0.512 [0.48 0.54]``, or a dash."""
    return f"{value['mean']:.3f} [{value['low']:.2f} {value['high']:.2f}]" if value else "-"


Table = list[list[str]]
"""Rows of cells, the first being the head."""


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text with columns of even width."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def sweep_table(means: Mapping[str, float | None]) -> str:
    """Scores of a sweep by setting, ``<layer> at <noise>``, as text: layers by shares of noise."""
    cells = {tuple(setting.rsplit(" at ", 1)): mean for setting, mean in means.items()}
    layers, noises = (list(dict.fromkeys(key[axis] for key in cells)) for axis in (0, 1))
    body = [
        [layer, *("-" if (mean := cells[layer, noise]) is None else f"{mean:.3f}" for noise in noises)]
        for layer in layers
    ]
    return aligned([["layer", *(f"noise {noise}" for noise in noises)], *body])


def sweep_figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Setting to the mean of its ``scores`` in the rows of a sweep, with an interval."""
    return {setting: interval([row["scores"][setting] for row in rows], request.seed) for setting in rows[0]["scores"]}


def best_setting(summary: Mapping[str, Any]) -> str:
    """The setting of a sweep with the largest mean."""
    return max(summary, key=lambda setting: summary[setting]["mean"])
