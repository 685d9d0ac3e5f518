"""Write ``workflows/<title>.jpg``, what ComfyUI's template browser shows (developers; run after the weights change).

    python -m concept_atelier.tools.build_thumbnails [WORKFLOW ...]

Every picture is out of a headless run of the workflow itself on the lab model. A twin for a checkpoint cannot be run
without one: it shows what its lab workflow drew, and says so.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageOps

from ..host.files.saving import atomic_write
from ..host.workflow.examples import TITLES
from ..host.workflow.runner import RunResult, run_workflow
from ..host.workflow.terminal import TerminalBar
from ..nodes.headless import HEADLESS_NODES
from .build_workflows import FOLDER
from .workflow.input_pictures import PICTURES
from .workflow.variants import LAB, VARIANTS

SIDE, GAP, BAND, MARGIN = 480, 6, 34, 12
LARGEST = 60_000
GROUND, INK = (244, 239, 228), (35, 39, 58)
EVEN = 8
"""Of 255, by how much the colours of what is empty may differ."""
INPUT = "input"
"""Stands for the first of the example pictures."""
PANELS: dict[str, Sequence[tuple[str, int]]] = {
    "take_a_picture_apart": [
        (INPUT, 0),
        ("Save: the overlay", 0),
        ("Save: first thing", 1),
        ("Save: both, new scene", 1),
    ],
    "see_where_words_land": [
        ("Save: the pictures", 0),
        ("Save: the maps", 0),
        ("Save: the maps", 4),
        ("Save: the maps", 8),
    ],
    "erase_a_concept": [(f"Save: {word} {when}", 0) for word in ("cat", "dog") for when in ("before", "after")],
    "erase_a_style": [(f"Save: {style} {when}", 0) for style in ("sketch", "neon") for when in ("before", "after")],
    "learn_from_two_pictures": [
        ("Save: the overlay", 0),
        ("Save: first thing", 0),
        ("Save: both things", 0),
        ("Save: both things", 1),
    ],
    "compose_learnt_things": [(f"Save: {way}", n) for way in ("without places", "in their places") for n in (0, 2)],
    "two_loras_in_one_picture": [
        (f"Save: {way}", n) for way in ("tokens alone", "each LoRA in its place") for n in (0, 1)
    ],
    "edit_by_words": [("Save: before", 0), ("Save: after", 0), ("Save: the maps", 0), ("Save: the maps", 1)],
    "which_word_did_what": [("Save: the sheet", 0)],
    "score_concepts": [("Save: the sheet", 0)],
    "what_is_this_folder_made_of": [("Save: the gallery", 0)],
    "masks_of_an_ingredient": [
        ("folder_masked.png", 0),
        ("Save: the overlay", 0),
        ("Save: the mask", 0),
        ("Save: the picture", 0),
    ],
    "take_an_ingredient_out": [
        (f"Save: {word} {way}", 0) for word in ("horse", "lemon") for way in ("with it", "without it")
    ],
    "what_did_my_lora_change": [("Save: the sheet", 0)],
    "find_my_subject": [("Save: the sheet", 0), ("Save: the crops", 0), ("Save: the crops", 2)],
    "pick_the_best": [("Save: the sheet", 0)],
    "what_do_i_like": [("Save: the chart", 0), ("Save: the sheet", 0)],
    "complete_and_lint": [("Save: the sheet", 0)],
    "from_folder_to_checked_lora": [("Save: the captions", 0), ("Save: the masks", 3), ("Save: the pictures", 0)],
    "guard_against_a_concept": [
        (f"Save: {word} {when} the guard", 0) for word in ("cat", "dog") for when in ("without", "with")
    ],
    "purify_a_picture": [
        (INPUT, 0),
        ("Save: drawn again", 0),
        ("Save: the place", 0),
        ("Save: the picture", 0),
    ],
    "weight_phrases": [(f"Save: {way} weights", n) for way in ("without", "with") for n in (0, 1)],
    "attack_an_erasure": [("Save: the page", 0)],
    "merge_two_loras": [(f"Save: {name}", 1) for name in ("plain", "first", "second", "both")],
    "slim_a_fine_tune": [("Save: the page", 0)],
}
"""What each thumbnail shows: four pictures, or a sheet, alone or above up to two more. Each is given as the title of
the node that saved it, and which of its pictures; or as the name of an input
picture."""
BORROWED = "pictures of the lab model"


def thumbnail(pictures: Sequence[Image.Image], said: str = "") -> Image.Image:
    """Four pictures in a square, or a sheet in its whole width with what stands below it, and a line of text over its
    foot where one is given."""
    canvas = _quartet(pictures) if len(pictures) == 4 else _sheet_above(pictures)
    if said:
        draw = ImageDraw.Draw(canvas)
        draw.rectangle((0, SIDE - BAND, SIDE, SIDE), fill=INK)
        draw.text((SIDE / 2, SIDE - BAND / 2), said, GROUND, ImageFont.load_default(20), anchor="mm")
    return canvas


def panels(name: str, result: RunResult) -> list[Image.Image]:
    """The pictures of a finished run that a workflow's thumbnail shows."""
    return [Image.open(_panel(node, index, result)) for node, index in PANELS[name]]


def save(picture: Image.Image, path: Path) -> None:
    """As a JPEG of less than 60 kB, in the best quality that fits."""
    with atomic_write(path) as temporary:
        for quality in range(88, 30, -6):
            picture.save(temporary, "JPEG", quality=quality, optimize=True)
            if temporary.stat().st_size < LARGEST:
                return
        raise ValueError(f"{path.name}: no quality makes the picture small enough")


def draw(name: str, folder: Path = FOLDER) -> None:
    """Run a lab workflow, write its thumbnail and its twins'."""
    with tempfile.TemporaryDirectory() as out:
        title = TITLES[name]
        result = run_workflow(
            FOLDER / f"{title}{LAB.suffix}.json", out=out, nodes=HEADLESS_NODES, reporter=TerminalBar()
        )
        pictures = panels(name, result)
        save(thumbnail(pictures), folder / f"{title}{LAB.suffix}.jpg")
        for variant in VARIANTS:
            if not variant.is_lab and variant.draws(name):
                save(thumbnail(pictures, BORROWED), folder / f"{title}{variant.suffix}.jpg")


def main(names: Sequence[str]) -> None:
    for name in names or PANELS:
        draw(name)


def _quartet(pictures: Sequence[Image.Image]) -> Image.Image:
    side = (SIDE - 3 * GAP) // 2
    canvas = Image.new("RGB", (SIDE, SIDE), GROUND)
    for index, picture in enumerate(pictures):
        left, top = (GAP + (index % 2) * (side + GAP), GAP + (index // 2) * (side + GAP))
        whole = ImageOps.pad(picture.convert("RGB"), (side, side), Image.Resampling.LANCZOS, GROUND)
        canvas.paste(whole, (left, top))
    return canvas


def _sheet_above(pictures: Sequence[Image.Image]) -> Image.Image:
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
        canvas.paste(other, (number * SIDE // len(others), top + sheet.height))
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


def _panel(node: str, index: int, result: RunResult) -> Path:
    if node == INPUT:
        node = next(iter(PICTURES))
    given = FOLDER / "input" / node
    return given if given.is_file() else result.files_of(node)[index]


if __name__ == "__main__":
    main(sys.argv[1:])
