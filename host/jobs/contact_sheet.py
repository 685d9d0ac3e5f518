"""A sheet of pictures in rows: what each was meant to be, then how it was drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..files.images import from_pil, to_pil
from ..pictures.drawing import colour_of
from ..pictures.labels import Colour, write_line
from .evaluate.evaluation import Evaluation
from .evaluate.score_reports import TOPS, concept_rows, mean_row

GROUND, INK, WRONG = (24, 24, 24), (240, 240, 240), (255, 160, 60)
LONGER_SIDE, ACROSS, GAP, FRAME = 160, 8, 6, 3
"""Pixels of a picture's longer side; pictures in a line; between pictures; around a source."""
TITLE, CAPTION = 20, 14
"""Sizes of letters."""
LONGEST = 100
"""Letters of a title at most."""


@dataclass(frozen=True)
class Caption:
    """What stands below a picture, and whether it says that the picture failed."""

    text: str
    wrong: bool = False


@dataclass(frozen=True, eq=False)
class Row:
    """A title over a source (in a frame of its colour; ``first`` stands below it) and the pictures drawn after it, each
    with its caption; there may be none.

    Without a source ``first`` stands in its place, and a row without a title lies close below the one before it.
    """

    title: str
    colour: Colour
    source: Tensor | None
    pictures: Tensor
    captions: Sequence[Caption]
    first: str = "source"


def score_sheet(evaluation: Evaluation) -> Tensor:
    """IMAGE (1, h, w, 3): a row a concept, then one of all concepts together, with their scores.

    Below each picture stands its similarity to the source; where it is more like another concept, that one's name.
    """
    return contact_sheet([*_concept_rows(evaluation), _joint_row(evaluation)])


def contact_sheet(rows: Sequence[Row], side: int = LONGER_SIDE) -> Tensor:
    """IMAGE (1, h, w, 3) of rows, one below another; pictures (3, H, W) keep their shape, their longer side ``side``
    pixels."""
    lines = [max(1, -(-len(row.pictures) // ACROSS)) for row in rows]  # the source takes one
    across = max(min(ACROSS, len(row.pictures)) for row in rows)
    cell = side + GAP
    heights = [_head(row) + count * (cell + _band(CAPTION)) for row, count in zip(rows, lines, strict=True)]
    canvas = Image.new("RGB", (GAP + (across + 1) * cell + 2 * GAP, sum(heights) + GAP), GROUND)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        _draw_row(canvas, row, top, side)
        top += height
    return from_pil(canvas)[0][None]


def _concept_rows(evaluation: Evaluation) -> list[Row]:
    scores = evaluation.scores
    rows = []
    for index, words in enumerate(concept_rows(scores)):
        name, seen = scores.names[index], scores.seen_as()[index]
        captions = [
            Caption(f"{value:.2f}" + (f" {other}" if other != name else ""), other != name)
            for value, other in zip(scores.own[index].tolist(), seen, strict=True)
        ]
        shares = "   ".join(f"ACC^{k} {words[f'acc_{k}']:.2f}" for k in TOPS)
        title = f"<{name}>   SIM^I {words['sim_i']:.3f}   {shares}   of {len(scores.candidates)} concepts"
        rows.append(Row(title, colour_of(index), evaluation.sources[index], evaluation.drawn[index], captions))
    return rows


def _joint_row(evaluation: Evaluation) -> Row:
    scores = evaluation.scores
    title = f"all together   SIM^C {mean_row(scores)['sim_c']:.3f}"
    captions = [Caption(f"{value:.2f}") for value in scores.composition.tolist()]
    return Row(title, INK, evaluation.picture[0], evaluation.joint, captions)


def _draw_row(canvas: Image.Image, row: Row, top: int, side: int) -> None:
    draw = ImageDraw.Draw(canvas)
    if row.title:
        write_line(draw, (GAP, top + _band(TITLE) / 2), row.title, INK, TITLE, canvas.width - 2 * GAP, "lm", LONGEST)
    top += _head(row)
    if row.source is None:
        write_line(draw, (GAP + side / 2, top + side / 2), row.first, INK, TITLE, side, "mm")
    else:
        _put(canvas, row.source, GAP, top, side, row.colour)
        _write(draw, Caption(row.first), GAP, top, side)
    cell = side + GAP
    for index, (picture, caption) in enumerate(zip(row.pictures, row.captions, strict=True)):
        left = 3 * GAP + (1 + index % ACROSS) * cell
        line = top + index // ACROSS * (cell + _band(CAPTION))
        _put(canvas, picture, left, line, side)
        _write(draw, caption, left, line, side)


def _put(canvas: Image.Image, picture: Tensor, left: int, top: int, side: int, frame: Colour | None = None) -> None:
    """A picture (3, H, W) in the middle of its square, in a frame if one is wanted."""
    image = to_pil(picture.movedim(0, -1))
    scale = (side - 2 * FRAME) / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    at = (left + (side - size[0]) // 2, top + (side - size[1]) // 2)
    if frame is not None:
        box = (at[0] - FRAME, at[1] - FRAME, at[0] + size[0] + FRAME - 1, at[1] + size[1] + FRAME - 1)
        ImageDraw.Draw(canvas).rectangle(box, fill=frame)
    canvas.paste(image.resize(size, Image.Resampling.LANCZOS), at)


def _write(draw: ImageDraw.ImageDraw, caption: Caption, left: int, top: int, side: int) -> None:
    text, font = _shortened(caption.text, side), ImageFont.load_default(CAPTION)
    middle = (left + side / 2, top + side + _band(CAPTION) / 2)
    draw.text(middle, text, WRONG if caption.wrong else INK, font, "mm")


def _shortened(text: str, side: int) -> str:
    """As much of a caption as fits below a picture."""
    font, cut = ImageFont.load_default(CAPTION), text
    while len(cut) > 1 and font.getlength(cut + "..." * (cut != text)) > side:
        cut = cut[:-1]
    return cut if cut == text else cut + "..."


def _head(row: Row) -> int:
    """Pixels above the pictures of a row."""
    return _band(TITLE) if row.title else 0


def _band(letters: int) -> int:
    return round(letters * 1.6)
