"""``python -m concept_atelier.tools.pages.front_picture``: docs/front.jpg, the picture on the README.

Every cell is drawn with the model that ships. Of some seeds a cell shows the one of which the judge is surest, so that
the picture shows what success looks like; ``docs/results.md`` says how often pictures succeed.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ...bench.cases import Case
from ...bench.drawing import draw
from ...bench.learn.learn import found_concepts
from ...core.attention.record import AttentionRecorder
from ...core.attention.selection import Selection
from ...core.attribute.heatmap import normalise, word_heatmaps
from ...core.backbone import Backbone, Placeholders
from ...core.erase.registry import METHODS as ERASING
from ...core.learn.registry import METHODS
from ...core.types import ConceptTokens
from ...host.adapters import backbone_of, with_erasure
from ...host.files.images import to_pil
from ...host.files.saving import atomic_write
from ...host.pictures.concept_pictures import concept_overlay
from ...host.pictures.drawing import heat_over
from ...lab.judge.judge import Judge, load_judge
from ...lab.model.handles import load_handles
from .page import scene_case

TARGET = Path(__file__).parents[2] / "docs" / "front.jpg"
SCENE, LEARNING_SEED, METHOD, GROUND = 4, 0, "attencraft", "blue"
PAIR, ERASED, KEPT = ("cat", "rocket"), "cat", "dog"
SEEDS, BATCH = 16, 8
"""Seeds that are drawn in all, and at once."""
CELL, GAP, EDGE, LINE = 150, 8, 12, 22
"""Pixels: a cell's side, between cells, around the sheet, a line of text."""


@dataclass(frozen=True)
class Cell:
    """A picture and the line below it."""

    picture: Image.Image
    label: str


@dataclass
class Studio:
    """MODEL, CLIP and VAE that draw, the judge that chooses, and the prompts of which it accepted no picture."""

    parts: tuple[Any, Any, Any]
    judge: Judge
    refused: list[str] = field(default_factory=list)

    @cached_property
    def backbone(self) -> Backbone:
        """The backbone of the parts."""
        return backbone_of(*self.parts)

    def best(self, prompt: str, wanted: Sequence[str], placeholders: Placeholders | None = None) -> tuple[int, Tensor]:
        """The seed whose picture shows the wanted objects, and no others, most surely; and the picture (3, H, W)."""
        batches = [list(range(start, start + BATCH)) for start in range(0, SEEDS, BATCH)]
        pictures = torch.cat([draw(self.backbone, [prompt] * BATCH, seeds, placeholders) for seeds in batches])
        reading = self.judge.look(pictures)
        seed = int(surest(self.judge, reading.presence(), wanted))
        if self.judge.found(reading)[seed] != set(wanted):
            self.refused.append(prompt)
        return seed, pictures[seed]


def surest(judge: Judge, presence: Tensor, wanted: Sequence[str]) -> Tensor:
    """The row of presences (B, K) with the greatest lead of the least wanted object over the best other one."""
    asked = torch.tensor([name in wanted for name in judge.names])
    return (presence[:, asked].amin(1) - presence[:, ~asked].amax(1)).argmax()


def learning_row(studio: Studio, case: Case) -> list[Cell]:
    """A picture, its concepts, each token alone, both tokens together, and both in a new scene."""
    concepts, numbers = found_concepts(studio.backbone, case)
    names = [case.names[number] for number in numbers]
    method = METHODS[METHOD]
    tokens = method.learn(studio.backbone, case.picture, concepts, method.preset("small"), seed=LEARNING_SEED)
    overlay = concept_overlay(case.picture, concepts)
    cells = [Cell(pil(case.picture[0]), "one picture"), Cell(to_pil(overlay[0]), "its concepts, found")]
    with studio.backbone.adapted(tokens.adapter):
        cells += drawn_with(studio, tokens, names)
    return cells


def drawn_with(studio: Studio, tokens: ConceptTokens, names: Sequence[str]) -> list[Cell]:
    """Pictures of the tokens, each alone and all together."""
    marks, places = [f"<{name}>" for name in tokens.names], tokens.placeholders()
    joint = " and ".join(marks)
    prompts = [(f"a photo of {mark}", [name]) for mark, name in zip(marks, names, strict=True)]
    prompts += [(f"a photo of {joint}", list(names)), (f"{joint} on {GROUND}", list(names))]
    return [Cell(pil(studio.best(prompt, wanted, places)[1]), prompt) for prompt, wanted in prompts]


def words_row(studio: Studio) -> list[Cell]:
    """A drawn picture and where two of its words landed."""
    prompt = f"a {PAIR[0]} and a {PAIR[1]} on blue"
    seed, picture = studio.best(prompt, PAIR)
    recorder = AttentionRecorder(Selection(kinds=("cross",)))
    with recorder.recording(studio.backbone):
        drawn = draw(studio.backbone, [prompt], seed)
    size = (drawn.shape[-2], drawn.shape[-1])
    text = studio.backbone.tokenize(prompt)
    # (N words, 2 rows of guidance, H, W): the second row belongs to the prompt.
    heat = normalise(word_heatmaps(recorder.maps(), text, PAIR, size, per_cell=True)[:, 1:])
    maps = [heat_over(drawn[0].movedim(0, -1), one[0], "") for one in heat]
    shown = [Cell(to_pil(one), f"where “{word}” landed") for one, word in zip(maps, PAIR, strict=True)]
    return [Cell(pil(picture), f"“{prompt}”"), *shown]


def erasing_row(studio: Studio) -> list[Cell]:
    """A concept before and after it is erased, same seed, and a neighbour afterwards."""
    model, clip, vae = studio.parts
    eraser = ERASING["uce"]
    edit = eraser.erase(studio.backbone, [ERASED], settings=eraser.preset("small"))
    without = Studio((with_erasure(model, edit), clip, vae), studio.judge)
    seed, before = studio.best(f"a photo of a {ERASED}", [ERASED])
    after = pil(draw(without.backbone, [f"a photo of a {ERASED}"], seed)[0])
    _, kept = without.best(f"a photo of a {KEPT}", [KEPT])
    studio.refused += without.refused
    return [
        Cell(pil(before), f"“a photo of a {ERASED}”"),
        Cell(after, f"same seed, {ERASED} erased"),
        Cell(pil(kept), f"a {KEPT}, {ERASED} erased"),
    ]


def pil(picture: Tensor) -> Image.Image:
    """A picture (3, H, W) in 0..1."""
    return to_pil(picture.movedim(0, -1))


def sheet(rows: Sequence[tuple[str, Sequence[Cell]]]) -> Image.Image:
    """Rows of cells below their titles; a row's title may hold several, each above its share of the cells."""
    across = max(len(cells) for _, cells in rows)
    tall = LINE + CELL + LINE
    canvas = Image.new("RGB", (2 * EDGE + across * (CELL + GAP) - GAP, 2 * EDGE + len(rows) * (tall + GAP)), "white")
    write, title_font, font = ImageDraw.Draw(canvas), ImageFont.load_default(15), ImageFont.load_default(12)
    for number, (titles, cells) in enumerate(rows):
        top, parts = EDGE + number * (tall + GAP), titles.split("|")
        for part, title in enumerate(parts):
            left = EDGE + part * (len(cells) // len(parts)) * (CELL + GAP)
            write.text((left, top), title.strip(), fill=(20, 20, 20), font=title_font)
        for column, cell in enumerate(cells):
            left = EDGE + column * (CELL + GAP)
            canvas.paste(cell.picture.resize((CELL, CELL), Image.Resampling.LANCZOS), (left, top + LINE))
            write.text((left, top + LINE + CELL + 3), cell.label, fill=(70, 70, 70), font=font)
    return canvas


def front_picture(parts: tuple[Any, Any, Any], judge: Judge) -> tuple[Image.Image, list[str]]:
    """The picture, and the prompts of which no seed was accepted."""
    studio = Studio(parts, judge)
    rows = [
        ("Find the concepts of a picture, learn each one as a token, and draw with the tokens",
         learning_row(studio, scene_case(SCENE))),
        ("See where words land | Erase a concept from a model", [*words_row(studio), *erasing_row(studio)]),
    ]  # fmt: skip
    return sheet(rows), studio.refused


def main() -> int:
    """Draw the picture; returns 1 when a cell shows a picture that the judge does not accept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=TARGET, help="file to write (default: %(default)s)")
    out = parser.parse_args().out
    picture, refused = front_picture(load_handles(), load_judge())
    with atomic_write(out) as temporary:
        picture.save(temporary, "JPEG", quality=90, optimize=True)
    for prompt in refused:
        sys.stderr.write(f"of {SEEDS} seeds the judge accepts no picture of {prompt!r}\n")
    return 1 if refused else 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
