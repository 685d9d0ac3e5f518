"""``docs/lab/sweeps.png``: which layers localise, at which share of noise, on both lab models.

A panel for each sweep of ``bench words`` and ``bench localize``: a line for each layer, a column for each share of
noise, and a cell that is the brighter the better the masks fit.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw

from ...bench.all.transformers import FOLDER
from ...core.files.writing import atomic_write
from ...host.pictures.labels import text_colour, write_line
from .files import read
from .word_results import Cells, swept

PANELS = {
    "words_sweep.json": "UNet: heat maps of names",
    "localize_sweep.json": "UNet: clustering",
    f"{FOLDER}/words_sweep.json": "transformer: heat maps of names",
    f"{FOLDER}/words_concepts_sweep.json": "transformer: concept maps of names",
    f"{FOLDER}/localize_sweep.json": "transformer: clustering",
    f"{FOLDER}/localize_sweep_17.json": "transformer: clustering, saliency threshold 1.7",
}
"""File of a sweep to what its panel is called."""

SHORTER = (
    (r"^single_transformer_blocks\.(\d+).*", r"single \1"),
    (r"^transformer_blocks\.(\d+).*", r"double \1"),
    (r"^(\w+)_blocks?\.(?:(\d+)\.)?attentions\.(\d+).*", r"\1 \2 \3"),
)
"""How layers of both models are called shortly."""

COLUMNS, CELL, LINE, NAME, MARGIN, LETTERS = 2, 64, 26, 150, 14, 14
GROUND, INK = (255, 255, 255), (30, 30, 30)
DARK, BRIGHT = (38, 42, 92), (250, 214, 90)


def write_sweeps(folder: Path, results: Path) -> None:
    """Draw all sweeps whose files are there into ``lab/sweeps.png`` below a folder; nothing where there is none."""
    found = {title: read(results / file) for file, title in PANELS.items()}
    cells = {title: swept(one) for title, one in found.items() if one is not None}
    if cells:
        with atomic_write(folder / "lab/sweeps.png") as temporary:
            sweeps_picture(cells).save(temporary, "PNG", optimize=True)


def sweeps_picture(panels: Mapping[str, Cells]) -> Image.Image:
    """Panels, two beside each other; of each, layers and shares of noise to a mean IoU in 0..1."""
    drawn = [_panel(title, cells) for title, cells in panels.items()]
    rows = [drawn[start : start + COLUMNS] for start in range(0, len(drawn), COLUMNS)]
    width = COLUMNS * max(one.width for one in drawn)
    canvas = Image.new("RGB", (width, sum(max(one.height for one in row) for row in rows)), GROUND)
    top = 0
    for row in rows:
        for column, one in enumerate(row):
            canvas.paste(one, (column * width // COLUMNS, top))
        top += max(one.height for one in row)
    return canvas


def _panel(title: str, cells: Cells) -> Image.Image:
    """One sweep."""
    layers, noises = (list(dict.fromkeys(key[axis] for key in cells)) for axis in (0, 1))
    size = (NAME + CELL * len(noises) + 2 * MARGIN, LINE * (len(layers) + 2) + 2 * MARGIN)
    canvas = Image.new("RGB", size, GROUND)
    draw = ImageDraw.Draw(canvas)
    write_line(draw, (MARGIN, MARGIN + LINE / 2), title, INK, LETTERS + 2, size[0] - 2 * MARGIN, "lm")
    for column, noise in enumerate(noises):
        middle = (MARGIN + NAME + CELL * (column + 0.5), MARGIN + 1.5 * LINE)
        write_line(draw, middle, f"noise {noise}", INK, LETTERS - 2, CELL, "mm")
    for row, layer in enumerate(layers, 2):
        top = MARGIN + LINE * row
        write_line(draw, (MARGIN, top + LINE / 2), _short(layer), INK, LETTERS, NAME - MARGIN, "lm")
        for column, noise in enumerate(noises):
            left, value = MARGIN + NAME + CELL * column, cells[layer, noise]
            draw.rectangle((left, top, left + CELL - 2, top + LINE - 2), fill=_shade(value))
            middle = (left + CELL / 2, top + LINE / 2)
            write_line(draw, middle, f"{value:.2f}", text_colour(_shade(value)), LETTERS, CELL, "mm")
    return canvas


def _shade(value: float) -> tuple[int, int, int]:
    """Dark for 0, bright for 1."""
    red, green, blue = (round(low + (high - low) * value) for low, high in zip(DARK, BRIGHT, strict=True))
    return red, green, blue


def _short(layer: str) -> str:
    for pattern, said in SHORTER:
        layer = re.sub(pattern, said, layer)
    return " ".join(layer.split())  # the middle of a UNet has no number
