"""Write ``workflows/<title>.jpg``, what ComfyUI's template browser shows (developers; run after the weights change).

    python -m concept_atelier.tools.build_thumbnails [WORKFLOW ...]

Every picture is out of a headless run of the workflow itself on the lab model. A twin for a checkpoint cannot be run
without one: it shows what its lab workflow drew, and says so.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageOps

from ..host.files.saving import atomic_write
from ..host.pictures.labels import fitted
from ..host.workflow.examples import TITLES
from ..host.workflow.runner import RunResult, run_workflow
from ..host.workflow.terminal import TerminalBar
from ..nodes.headless import HEADLESS_NODES
from .build_workflows import FOLDER
from .workflow.input_pictures import PICTURES
from .workflow.variant import Parts, Variant
from .workflow.variants import LAB, LAB_TRANSFORMER, VARIANTS

SIDE, GAP, BAND, MARGIN = 480, 6, 34, 12
LETTERS = 20
WORDS, CHIP = 17, 23
"""Pixels of the letters of a panel's words, and of the height of their line."""
LARGEST = 60_000
GROUND, INK = (244, 239, 228), (35, 39, 58)
EVEN = 8
"""Of 255, by how much the colours of what is empty may differ."""
INPUT = "input"
"""Stands for the first of the example pictures."""
WHOLE = (0.0, 0.0, 1.0, 1.0)


class Panel(NamedTuple):
    """A picture of a thumbnail.

    Attributes:
        node: the title of the node that saved it, or the name of an input picture.
        index: which of its pictures.
        said: a few words over its upper left corner.
        part: what is shown of it: left, top, right and bottom, as shares of its sides.
    """

    node: str
    index: int = 0
    said: str = ""
    part: tuple[float, float, float, float] = WHOLE


PANELS: dict[str, Sequence[Panel]] = {
    "take_a_picture_apart": [
        Panel(INPUT, said="your picture"),
        Panel("Save: the overlay", said="things found"),
        Panel("Save: first thing", 1, "one of them, drawn"),
        Panel("Save: both, new scene", 1, "both, drawn"),
    ],
    "see_where_words_land": [
        Panel("Save: the pictures", said="the picture"),
        *(Panel("Save: the maps", index) for index in (0, 4, 8)),
    ],
    "erase_a_concept": [
        Panel("Save: cat before", said="cat"),
        Panel("Save: cat after", said="cat, erased"),
        Panel("Save: dog before", said="dog"),
        Panel("Save: dog after", said="dog, kept"),
    ],
    "erase_a_style": [
        Panel("Save: sketch before", said="sketch"),
        Panel("Save: sketch after", said="sketch, erased"),
        Panel("Save: neon before", said="neon"),
        Panel("Save: neon after", said="neon, kept"),
    ],
    "train_an_erasure": [
        Panel("Save: cat before", said="cat"),
        Panel("Save: cat after", said="cat, trained away"),
        Panel("Save: dog before", said="dog"),
        Panel("Save: dog after", said="dog, kept"),
    ],
    "learn_from_two_pictures": [
        Panel("Save: the overlay", said="your pictures"),
        Panel("Save: first thing", said="one thing, drawn"),
        *(Panel("Save: both things", index, "both, drawn") for index in (0, 1)),
    ],
    "compose_learnt_things": [
        *(Panel("Save: without places", index, "without places") for index in (0, 2)),
        *(Panel("Save: in their places", index, "each in its place") for index in (0, 2)),
    ],
    "two_loras_in_one_picture": [
        *(Panel("Save: tokens alone", index, "tokens alone") for index in (0, 1)),
        *(Panel("Save: each LoRA in its place", index, "each LoRA in its place") for index in (0, 1)),
    ],
    "edit_by_words": [
        Panel("Save: before", said="cat and rocket"),
        Panel("Save: after", said="cat becomes dog"),
        *(Panel("Save: the maps", index) for index in (0, 1)),
    ],
    "which_word_did_what": [Panel("Save: the sheet", part=(0, 0, 0.756, 1))],
    "score_concepts": [Panel("Save: the sheet")],
    "what_is_this_folder_made_of": [Panel("Save: the gallery")],
    "masks_of_an_ingredient": [
        Panel("folder_masked.png", said="your picture"),
        Panel("Save: the overlay", said="the ingredient in it"),
        Panel("Save: the mask", said="its mask"),
        Panel("Save: the picture", said="drawn anew inside"),
    ],
    "take_an_ingredient_out": [
        Panel("Save: horse with it", said="horse"),
        Panel("Save: horse without it", said="horse, taken out"),
        Panel("Save: lemon with it", said="lemon"),
        Panel("Save: lemon without it", said="lemon, kept"),
    ],
    "what_did_my_lora_change": [Panel("Save: the sheet")],
    "find_my_subject": [
        Panel("subject_1.png", said="your subject"),
        Panel("Save: the sheet", said="found in a folder", part=(0.12, 0.02, 0.34, 0.49)),
        *(Panel("Save: the crops", index, "cropped") for index in (0, 6)),
    ],
    "pick_the_best": [Panel("Save: the sheet")],
    "what_do_i_like": [Panel("Save: the chart"), Panel("Save: the sheet")],
    "complete_and_lint": [Panel("Save: the sheet")],
    "from_folder_to_checked_lora": [
        Panel("Save: the captions"),
        Panel("Save: the masks", 3, "the subject found"),
        Panel("Save: the pictures", said="drawn with its LoRA"),
    ],
    "guard_against_a_concept": [
        Panel("Save: cat without the guard", said="cat"),
        Panel("Save: cat with the guard", said="cat, guarded"),
        Panel("Save: dog without the guard", said="dog"),
        Panel("Save: dog with the guard", said="dog, guarded"),
    ],
    "purify_a_picture": [
        Panel(INPUT, said="your picture"),
        Panel("Save: drawn again", said="erased, yet it is back"),
        Panel("Save: the place", said="where the pig is"),
        Panel("Save: the picture", said="purified"),
    ],
    "weight_phrases": [
        *(Panel("Save: without weights", index, "in neon style") for index in (0, 1)),
        *(Panel("Save: with weights", index, "neon style: weight 0") for index in (0, 1)),
    ],
    "attack_an_erasure": [Panel("Save: the page")],
    "merge_two_loras": [
        Panel("Save: plain", 1, "plain model"),
        Panel("Save: first", 1, "first: dogs for cats"),
        Panel("Save: second", 1, "second: trees for rockets"),
        Panel("Save: both", 1, "both"),
    ],
    "slim_a_fine_tune": [Panel("Save: the page")],
}
"""What each thumbnail shows: four pictures, or a sheet, alone or above up to two more."""
BORROWED = "pictures of the lab model"
SHOWN_BY_UNET = ("take_a_picture_apart",)
"""Workflows whose twins for a transformer show what the UNet drew: the lab transformer draws learnt things badly."""


def thumbnail(pictures: Sequence[Image.Image], said: str = "", words: Sequence[str] = ()) -> Image.Image:
    """Four pictures in a square, or a sheet in its whole width with what stands below it.

    Args:
        pictures: what is shown.
        said: a line of text over the foot, where one is given.
        words: a few words for each picture, empty for none.
    """
    said_of = [*words, *[""] * (len(pictures) - len(words))]
    canvas = _quartet(pictures, said_of) if len(pictures) == 4 else _sheet_above(pictures, said_of)
    if said:
        draw = ImageDraw.Draw(canvas)
        draw.rectangle((0, SIDE - BAND, SIDE, SIDE), fill=INK)
        draw.text((SIDE / 2, SIDE - BAND / 2), said, GROUND, ImageFont.load_default(LETTERS), anchor="mm")
    return canvas


def panels(name: str, result: RunResult) -> list[Image.Image]:
    """The pictures of a finished run that a workflow's thumbnail shows."""
    return [_part(Image.open(_file_of(panel, result)), panel.part) for panel in PANELS[name]]


def save(picture: Image.Image, path: Path) -> None:
    """As a JPEG of less than 60 kB, in the best quality that fits."""
    with atomic_write(path) as temporary:
        for quality in range(88, 30, -6):
            picture.save(temporary, "JPEG", quality=quality, optimize=True)
            if temporary.stat().st_size < LARGEST:
                return
        raise ValueError(f"{path.name}: no quality makes the picture small enough")


def draw(name: str, folder: Path = FOLDER) -> None:
    """Run the lab workflows of a name, write their thumbnails and those of their twins: of a transformer's, what the
    lab transformer drew."""
    title, words = TITLES[name], [panel.said for panel in PANELS[name]]
    drawn = {lab.denoiser: _drawn(name, lab, folder) for lab in (LAB, LAB_TRANSFORMER) if lab.draws(name)}
    for variant in VARIANTS:
        if not variant.is_lab and variant.draws(name):
            by_transformer = isinstance(variant.files, Parts) and name not in SHOWN_BY_UNET
            pictures = drawn[LAB_TRANSFORMER.denoiser if by_transformer else LAB.denoiser]
            save(thumbnail(pictures, BORROWED, words), folder / f"{title}{variant.suffix}.jpg")


def _drawn(name: str, lab: Variant, folder: Path) -> list[Image.Image]:
    """What a workflow on the lab model shows, which its thumbnail is written of."""
    title = f"{TITLES[name]}{lab.suffix}"
    with tempfile.TemporaryDirectory() as out:
        result = run_workflow(FOLDER / f"{title}.json", out=out, nodes=HEADLESS_NODES, reporter=TerminalBar())
        pictures = [picture.copy() for picture in panels(name, result)]
    save(thumbnail(pictures, words=[panel.said for panel in PANELS[name]]), folder / f"{title}.jpg")
    return pictures


def main(names: Sequence[str]) -> None:
    for name in names or PANELS:
        draw(name)


def _quartet(pictures: Sequence[Image.Image], words: Sequence[str]) -> Image.Image:
    side = (SIDE - 3 * GAP) // 2
    canvas = Image.new("RGB", (SIDE, SIDE), GROUND)
    for index, picture in enumerate(pictures):
        left, top = (GAP + (index % 2) * (side + GAP), GAP + (index // 2) * (side + GAP))
        whole = ImageOps.pad(picture.convert("RGB"), (side, side), Image.Resampling.LANCZOS, GROUND)
        canvas.paste(whole, (left, top))
        _say(canvas, words[index], (left, top), side)
    return canvas


def _say(canvas: Image.Image, words: str, corner: tuple[int, int], width: int) -> None:
    """Words in the upper left corner of a picture of this width; nothing where there are none."""
    if words:
        draw, font = ImageDraw.Draw(canvas), fitted(words, WORDS, width - MARGIN)
        left, top = corner
        draw.rectangle((left, top, left + font.getlength(words) + MARGIN, top + CHIP), fill=INK)
        draw.text((left + MARGIN / 2, top + CHIP / 2), words, GROUND, font, anchor="lm")


def _sheet_above(pictures: Sequence[Image.Image], words: Sequence[str]) -> Image.Image:
    """A sheet in a square, and a second one or several pictures side by side below it.

    No column is cut off. Rows below the square are, and what is low stands in the sheet's own colour. Of a high sheet
    above several pictures as many whole rows are shown as leave room for these.
    """
    sheet = _in_width(_without_margin(pictures[0]), SIDE)
    below = [_without_margin(each) for each in pictures[1:]] if len(pictures) == 2 else pictures[1:]
    others = [_in_width(each, SIDE // len(below)) for each in below]
    rest = max((other.height for other in others), default=0)
    if len(others) > 1 and sheet.height + rest > SIDE:
        sheet = _whole_rows(sheet, SIDE - rest)
    canvas = Image.new("RGB", (SIDE, SIDE), sheet.getpixel((0, 0)))
    top = max(0, (SIDE - sheet.height - rest) // 2)
    canvas.paste(sheet, (0, top))
    for number, other in enumerate(others):
        corner = (number * SIDE // len(others), top + sheet.height)
        canvas.paste(other, corner)
        _say(canvas, words[number + 1], corner, other.width)
    return canvas


def _whole_rows(sheet: Image.Image, height: int) -> Image.Image:
    """The rows of a sheet that end within this height, where nothing but its colour is seen."""
    for bottom in range(height, 0, -1):
        low, high = zip(*sheet.crop((0, bottom - 1, sheet.width, bottom)).getextrema(), strict=True)
        if max(top - least for least, top in zip(low, high, strict=True)) <= EVEN:
            return sheet.crop((0, 0, sheet.width, bottom))
    return sheet.crop((0, 0, sheet.width, height))


def _in_width(picture: Image.Image, width: int) -> Image.Image:
    rgb = picture.convert("RGB")
    return rgb.resize((width, max(1, round(rgb.height * width / rgb.width))), Image.Resampling.LANCZOS)


def _without_margin(sheet: Image.Image) -> Image.Image:
    """A sheet without what is empty at its right; what is empty has the colour of its first pixel."""
    rgb = sheet.convert("RGB")
    empty = Image.new("RGB", rgb.size, rgb.getpixel((0, 0)))
    box = ImageChops.difference(rgb, empty).point(lambda value: 255 * (value > EVEN)).getbbox()
    return rgb.crop((0, 0, min(rgb.width, box[2] + MARGIN), rgb.height)) if box else rgb


def _part(picture: Image.Image, part: tuple[float, float, float, float]) -> Image.Image:
    """What is shown of a picture."""
    sides = (picture.width, picture.height) * 2
    return picture.crop(tuple(round(share * side) for share, side in zip(part, sides, strict=True)))


def _file_of(panel: Panel, result: RunResult) -> Path:
    node = next(iter(PICTURES)) if panel.node == INPUT else panel.node
    given = FOLDER / "input" / node
    return given if given.is_file() else result.files_of(node)[panel.index]


if __name__ == "__main__":
    main(sys.argv[1:])
