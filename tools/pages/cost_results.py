"""The tables of ``docs/results.md`` about cost, from ``results/cost.json``: before and now, growth, heat maps,
transformers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.erase.registry import METHODS as ERASING
from .cards import table
from .files import read

Figure = Mapping[str, Any]

MODELS = {"lab": "lab", "sd15": "SD1.5", "sdxl": "SDXL", "z_image": "Z-Image", "flux2_klein": "FLUX.2 klein 4B"}
COMPARED = {
    "attention maps": "self-attention of a layer on the finest grid, mean over heads",
    "clustering": "FINCH, all levels, on the finest grid",
    "token map": "attention of a layer to one word, with its gradient",
    "transport": "transport of `faithful`, two concepts",
    "text encoding": "a text read by its last subject token, among 64",
    "recomputing": "a row forward and backward through the UNet, `save_memory` on : off",
    "start": "a new process to its first pass, without the pipelines of diffusers : with",
}
"""Figure to what is computed in it; each is compared with how it was done before."""

COLUMNS = {
    "word_maps": "word maps of a step",
    "localizing": "localising, without the pass",
    "transport": "transport of an update",
    "erasing": "erasing",
}
MISSING = "Not measured yet: `bench cost --json results/cost.json`."
TABLES = {"sides": "{} px", "concepts": "{} concepts", "preserved": "{} preserved words"}


def before_and_now(folder: Path) -> str:
    """Parts against how they were computed before; the transport against its release too."""
    rows = [["part", "model", "processor time, now : before", "memory at the peak, MB: before, now", "difference"]]
    for one in _figures(folder, *COMPARED):
        low, high = one["cpu_ratio_range"]
        memory = [f"{one[name]:g}" for name in ("plain_peak_mb", "ours_peak_mb") if name in one]
        rows.append(
            [
                COMPARED[one["figure"]],
                f"{MODELS[one['model']]}, {one['side']} px",
                f"{one['cpu_ratio']:.3g} [{low:.3g} {high:.3g}]",
                ", ".join(memory),
                "the same levels" if one.get("same_levels") else _difference(one),
            ]
        )
    return table(rows) if len(rows) > 1 else MISSING


def growth(folder: Path) -> str:
    """Seconds of processor time by side, concepts and preserved words."""
    rows = [["", "model", *COLUMNS.values()]]
    for one in _figures(folder, "growth"):
        for name, said in TABLES.items():
            rows += [[said.format(at), MODELS[one["model"]], *_cells(row)] for at, row in one[name].items()]
    return table(rows) if len(rows) > 1 else MISSING


def heat_maps(folder: Path) -> str:
    """What the finest layers give and take in pictures larger than the model's own."""
    rows = [["picture", "model", "mean IoU: without the finest layers, with", "s a step: without, with", "more MB"]]
    for one in _figures(folder, "heat maps"):
        for side, row in one["sides"].items():
            found = f"{row['without_finest_iou']:.3f}, {row['iou']:.3f}" if "iou" in row else ""
            spent = f"{row['without_finest_cpu_s']:g}, {row['cpu_s']:g}"
            rows.append([f"{side} px", MODELS[one["model"]], found, spent, f"{row['finest_mb']:g}"])
    return table(rows) if len(rows) > 1 else MISSING


def less_memory(folder: Path) -> str:
    """What a pass with gradients holds on large models, `save_memory` off and on."""
    rows = [["model", "picture", "`save_memory` off, MB", "on, MB"]]
    for one in _figures(folder, "recomputing")[-1:]:
        rows += [
            [MODELS[model], f"{held['side']} px", f"{held['off_mb']:g}", f"{held['on_mb']:g}"]
            for model, held in one["by_shapes"].items()
        ]
    rows += [
        [MODELS[one["model"]], f"{one['side']} px", f"{one['whole_mb']['off']:g}", f"{one['whole_mb']['on']:g}"]
        for one in _figures(folder, "transformer learning")
    ]
    return table(rows) if len(rows) > 1 else MISSING


def solving(folder: Path) -> str:
    """Seconds that every closed form takes for many concepts, once texts are encoded."""
    rows = [["method", "model", "preset", "seconds of processor time", "by the clock"]]
    for one in _figures(folder, "solving"):
        for name, of in one["sizes"].items():
            said = f"{MODELS[name]}: {of['projections']} projections of rows {of['width']} wide"
            rows += [
                [ERASING[method].title, said, of["preset"], f"{spent['cpu_s']:g}", f"{spent['seconds']:g}"]
                for method, spent in of["methods"].items()
            ]
    return (
        table(rows) if len(rows) > 1 else "Not measured yet: `bench cost --figures solving --json results/cost.json`."
    )


def erasing_methods(folder: Path) -> str:
    """Seconds and memory that every method takes for one object."""
    rows = [["method", "trains", "seconds of processor time", "by the clock", "MB that the process grew"]]
    for one in _figures(folder, "erase by method"):
        rows += [
            [
                ERASING[name].title,
                "yes" if spent["trains"] else "no",
                f"{spent['cpu_s']:g}",
                f"{spent['seconds']:g}",
                "unknown" if spent["resident_mb"] is None else f"{spent['resident_mb']:.0f}",
            ]
            for name, spent in one["methods"].items()
        ]
    command = '`bench cost --figures "erase by method" --json results/cost.json`'
    return table(rows) if len(rows) > 1 else f"Not measured yet: {command}."


def transformers(folder: Path) -> str:
    """What Capture Attention adds to a block of a transformer, and to the whole by its number of blocks."""
    rows = [
        [
            "model",
            "picture",
            "s of processor time: a block, its map",
            "blocks: all, recorded",
            "pass with Capture Attention : without, reckoned",
            "pass of the blocks that were run, all recorded : none",
            "MB at the peak: without, more",
        ]
    ]
    for one in _figures(folder, "transformer blocks"):
        low, high = one["cpu_ratio_range"]
        spent = [f"{name} {of['plain_cpu_s']:.3g}, {of['map_cpu_s']:.3g}" for name, of in one["blocks"].items()]
        rows.append(
            [
                MODELS[one["model"]],
                f"{one['side']} px",
                "; ".join(spent),
                f"{one['whole']['blocks']}, {one['whole']['recorded']}",
                f"{one['whole']['cpu_ratio']:.3f}",
                f"{one['cpu_ratio']:.3f} [{low:.3f} {high:.3f}]",
                f"{one['plain_peak_mb']:g}, {one['more_mb']:g}",
            ]
        )
    return table(rows) if len(rows) > 1 else MISSING


def _difference(one: Figure) -> str:
    return f"{one['largest_difference']:.1g}" if "largest_difference" in one else ""


def _cells(row: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [f"{row[name]['cpu_s']:g}" if name in row else "" for name in COLUMNS]


def _figures(folder: Path, *names: str) -> Sequence[Figure]:
    """Of the file, in the order of the names."""
    figures = (read(folder / "cost.json") or {"figures": []})["figures"]
    return [one for name in names for one in figures if one["figure"] == name]


PARTS = {
    "cost before and now": before_and_now,
    "memory of learning": less_memory,
    "growth of cost": growth,
    "cost of heat maps": heat_maps,
    "cost of transformers": transformers,
}
