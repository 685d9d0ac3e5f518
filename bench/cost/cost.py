"""``bench cost``: what capturing, localizing, learning and erasing cost beside the plain model.

On the lab model, headless. With ``COMFYUI_PATH`` set, and run with that ComfyUI's Python, inside ComfyUI, and there
also on Stable Diffusion 1.5 at full size and random weights (``--on sd15``), whose time and memory are those of any
weights, and on two blocks of Z-Image and FLUX.2 klein at their real widths (``--on z_image flux2_klein``). Times are
ratios of runs that follow each other.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...host.files.saving import save_json
from ..summary import aligned
from .compare import worse
from .figures import FIGURES, TRANSFORMER_FIGURES, figures_of
from .ground import SHAPES, Shape
from .settings import CostSettings

SCHEMA = 1
AIMS = {"ratio": 1.25, "more_mb": 64, "solving_s": 5.0}  # of capture; of solving for an erasure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench cost``."""
    settings, every = CostSettings(), [*FIGURES, *TRANSFORMER_FIGURES]
    parser.add_argument("--on", nargs="+", choices=SHAPES, default=["lab"], help="models (default: lab)")
    parser.add_argument("--figures", nargs="+", choices=every, default=every, help="default: all of a model")
    parser.add_argument("--repetitions", type=int, default=settings.repetitions, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=settings.steps, help="of a sampling run (default: %(default)s)")
    parser.add_argument("--concepts", type=int, default=settings.concepts, help="learnt at once (default: %(default)s)")
    parser.add_argument(
        "--preserved", type=int, default=settings.preserved, help="by an erasure (default: %(default)s)"
    )
    parser.add_argument("--side", type=int, help="pixels of a picture (default: 128 for lab, 512 for others)")
    parser.add_argument("--note", default="", help="said in the file: what else the machine did meanwhile")
    parser.add_argument("--json", type=Path, metavar="FILE", help="add to this file, or replace in it")
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="FILE",
        help="print every ratio of processor time that is more than 15 %% worse than the one in this file; exit 1 if "
        "there is any",
    )


def main(args: argparse.Namespace) -> int:
    """Measure, print and write; returns the exit status."""
    settings = CostSettings(args.repetitions, args.steps, args.concepts, args.preserved)
    stored = figures_in(args.compare) if args.compare else []  # read first: --json may write the same file
    lines: list[str] = []
    for name in args.on:
        shape = replace(SHAPES[name], side=args.side or SHAPES[name].side)
        with torch.inference_mode():
            ground = ground_of(name)
            for figure in (one for one in args.figures if one in figures_of(shape)):
                found = measure(figure, ground, shape, settings) | {"note": args.note}
                sys.stdout.write(table([found]))
                sys.stdout.flush()
                if args.json:
                    add_to_file(args.json, found)
                lines += worse([found], stored)
    if args.compare:
        sys.stdout.write("\n".join(lines or ["no ratio of processor time is more than 15 % worse"]) + "\n")
    return 1 if lines else 0


def ground_of(name: str, environment: Mapping[str, str] = os.environ) -> Any:
    """The model on ComfyUI where ``COMFYUI_PATH`` says where that is, headless otherwise.

    Raises ``ValueError`` for a model that this host does not have.
    """
    folder = environment.get("COMFYUI_PATH")
    if folder:
        from . import native, sd15, transformers

        version = native.enter_comfyui(Path(folder).expanduser().resolve())
        if SHAPES[name].transformer:
            return transformers.TransformerGround(version, name)
        return native.NativeGround(version, sd15.load() if name == "sd15" else native.native_lab())
    if name != "lab":
        raise ValueError(f"{name} is measured inside ComfyUI: set COMFYUI_PATH, and run with its Python")
    from .headless import HeadlessGround

    return HeadlessGround()


def measure(figure: str, ground: Any, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """One figure with all that it was measured on."""
    where = {
        "figure": figure,
        "model": shape.name,
        "side": shape.side,
        "host": ground.host,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        "load_before": round(os.getloadavg()[0], 2),
    }
    return where | figures_of(shape)[figure](ground, shape, settings)


def add_to_file(path: Path, found: Mapping[str, Any]) -> None:
    """Add a figure; one of the same name, model, picture size and host gives way."""
    held = figures_in(path) if path.exists() else []
    kept = [one for one in held if _key(one) != _key(found)]
    save_json(path, {"bench": "cost", "schema": SCHEMA, "figures": sorted([*kept, dict(found)], key=_key)})


def figures_in(path: Path) -> list[dict[str, Any]]:
    """The figures of a file."""
    figures: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["figures"]
    return figures


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """Figures as text."""
    return "".join(f"{_title(one)}\n{aligned(_rows(one))}\n\n" for one in found)


def _key(found: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(found[name]) for name in ("figure", "model", "side", "host"))


def _title(one: Mapping[str, Any]) -> str:
    return f"{one['figure']}: {one['model']}, {one['side']} pixels, {one['host']}, repetitions {one['repetitions']}"


Rows = list[list[str]]


def _rows(one: Mapping[str, Any]) -> Rows:
    """The rows of one figure's table."""
    return _ROWS.get(one["figure"], _of_passes)(one)


def _of_heat_maps(one: Mapping[str, Any]) -> Rows:
    names = list(next(iter(one["sides"].values())))
    return [["side", *names], *([side, *(f"{row[name]:g}" for name in names)] for side, row in one["sides"].items())]


def _of_growth(one: Mapping[str, Any]) -> Rows:
    return [
        [name, row, column, f"{value['cpu_s']:g} s", f"{value['cpu_ratio']:g} of the first"]
        for name in ("sides", "concepts", "preserved")
        for row, columns in one[name].items()
        for column, value in columns.items()
    ]


def _of_erasing(one: Mapping[str, Any]) -> Rows:
    heads = ["concepts", "seconds", "of processor time", "in the text encoder", "resident MB"]
    fields = ("seconds", "cpu_s", "in_text_encoder_cpu_s", "resident_mb")
    return [heads, *([count, *(str(row[field]) for field in fields)] for count, row in one["concepts"].items())]


def _of_methods(one: Mapping[str, Any]) -> Rows:
    heads = ["method", "seconds", "of processor time", "resident MB"]
    fields = ("seconds", "cpu_s", "resident_mb")
    return [heads, *([name, *(str(row[field]) for field in fields)] for name, row in one["methods"].items())]


def _of_solving(one: Mapping[str, Any]) -> Rows:
    aim = f"aim {AIMS['solving_s']:g} s"
    return [
        [f"{size}, {of['projections']} projections", name, f"{spent['cpu_s']:g} s", f"{spent['seconds']:g} s", aim]
        for size, of in one["sizes"].items()
        for name, spent in of["methods"].items()
    ]


def _of_listening(one: Mapping[str, Any]) -> Rows:
    return [[name, f"{one[name]:g}", _aim(one, name)] for name in ("cpu_s", "in_maps_cpu_s", "cpu_ratio")]


def _of_passes(one: Mapping[str, Any]) -> Rows:
    """Of a figure that compares passes with ours and without."""
    low, high = one["ratio_range"]
    rows: Rows = [
        ["plain, s", f"{one['plain_s']:g}", ""],
        ["ours, s", f"{one['ours_s']:g}", ""],
        ["ratio", f"{one['ratio']:g} [{low:g} {high:g}], processor time {one['cpu_ratio']:g}", _aim(one, "ratio")],
    ]
    for name in ("from_latent", "to_single_precision"):
        if name in one:
            rows.append([name.replace("_", " "), f"processor time {one[name]['cpu_ratio']:g}", ""])
    for name, of in one.get("blocks", {}).items():
        rows.append([f"{name}, s of processor time", f"{of['plain_cpu_s']:g}, its map {of['map_cpu_s']:g}", ""])
    if "whole" in one:
        rows.append(["the whole model, by its number of blocks", f"processor time {one['whole']['cpu_ratio']:g}", ""])
    for model, held in one.get("by_shapes", {}).items():
        said = f"{model}, {held['side']} px, by shapes, MB: off, on"
        rows.append([said, f"{held['off_mb']:g}, {held['on_mb']:g}", ""])
    for name, of in one.get("held_mb", {}).items():
        rows.append([f"a block of {name} holds, MB: off, on", f"{of['off']:g}, {of['on']:g}", ""])
    if "whole_mb" in one:
        rows.append(["the whole model, MB: off, on", "{off:g}, {on:g}".format(**one["whole_mb"]), ""])
    ends = ("_mb", "_cpu_s")
    named = (
        name
        for name, value in one.items()
        if (name.endswith(ends) or name == "largest_difference") and not isinstance(value, Mapping)
    )
    return rows + [[name, f"{one[name]:g}", _aim(one, name)] for name in named]


_ROWS = {
    "heat maps": _of_heat_maps,
    "growth": _of_growth,
    "erase": _of_erasing,
    "erase by method": _of_methods,
    "solving": _of_solving,
    "listening": _of_listening,
}


def _aim(one: Mapping[str, Any], name: str) -> str:
    return f"aim {AIMS[name]:g}" if one["figure"] == "capture" and name in AIMS else ""
