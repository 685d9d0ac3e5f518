"""Thumbnails: one beside every workflow, small, square; and the code that puts them together."""

import numpy as np
import pytest
from PIL import Image

from concept_atelier.host.workflow.examples import TITLES
from concept_atelier.tools.build_thumbnails import CHIP, GAP, INK, INPUT, LARGEST, PANELS, SIDE, save, thumbnail
from concept_atelier.tools.build_workflows import BUILDERS, FOLDER, WORKFLOWS


def noise(seed, side=200):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_workflow_has_its_thumbnail(name):
    path = FOLDER / f"{name}.jpg"
    assert path.exists(), f"{name}.jpg is not drawn yet: run python -m concept_atelier.tools.build_thumbnails"
    assert path.stat().st_size < LARGEST
    with Image.open(path) as picture:
        assert picture.format == "JPEG" and picture.size == (SIDE, SIDE)


def test_there_are_no_thumbnails_of_nothing():
    assert {path.stem for path in FOLDER.glob("*.jpg")} <= set(WORKFLOWS)


def test_every_lab_workflow_says_what_to_show():
    assert set(PANELS) == set(BUILDERS) and all(1 <= len(panels) <= 4 for panels in PANELS.values())


def test_what_is_shown_is_saved_by_the_workflow():
    for name, panels in PANELS.items():
        text = (FOLDER / f"{TITLES[name]}.json").read_text(encoding="utf-8")
        assert all(f'"{panel.node}"' in text for panel in panels if panel.node != INPUT)


def test_four_pictures_in_a_square_with_a_line_at_the_foot():
    colours = ["red", "green", "blue", "yellow"]
    pictures = [Image.new("RGB", (9, 9), colour) for colour in colours]
    plain, marked = thumbnail(pictures), thumbnail(pictures, "said")
    corners = [(30, 30), (SIDE - 30, 30), (30, SIDE - 60), (SIDE - 30, SIDE - 60)]
    for shown in (plain, marked):
        assert [shown.getpixel(at) for at in corners] == [Image.new("RGB", (1, 1), c).getpixel((0, 0)) for c in colours]
    assert marked.getpixel((2, SIDE - 2)) == INK


@pytest.mark.parametrize("height", [100, 900])
def test_of_a_single_picture_every_column_is_shown(height):
    sheet = Image.new("RGB", (300, height), "blue")
    sheet.paste("red", (100, 0, 200, height))
    sheet.paste("green", (200, 0, 300, height))
    shown = thumbnail([sheet])
    assert shown.size == (SIDE, SIDE)
    assert [shown.getpixel((x, SIDE // 2)) for x in (80, 240, 400)] == [(0, 0, 255), (255, 0, 0), (0, 128, 0)]


def test_pictures_stand_side_by_side_below_a_sheet_whose_empty_margin_is_cut():
    sheet = Image.new("RGB", (400, 50), "black")
    sheet.paste("red", (8, 0, 188, 50))  # the right half is empty
    shown = thumbnail([sheet, Image.new("RGB", (50, 50), "lime"), Image.new("RGB", (50, 50), "blue")])
    assert shown.size == (SIDE, SIDE)
    top = (SIDE - SIDE * 50 // 200 - SIDE // 2) // 2
    assert shown.getpixel((SIDE // 2, top + 20)) == (255, 0, 0) and shown.getpixel((SIDE // 2, top - 9)) == (0, 0, 0)
    assert shown.getpixel((SIDE // 4, SIDE - top - 9)) == (0, 255, 0)
    assert shown.getpixel((3 * SIDE // 4, SIDE - top - 9)) == (0, 0, 255)


def test_of_a_high_sheet_above_pictures_whole_rows_are_shown():
    sheet = Image.new("RGB", (240, 600), "black")
    for number, colour in enumerate(["red", "lime", "blue", "yellow"]):  # rows of 50, 10 empty behind each
        sheet.paste(colour, (0, 60 * number, 240, 60 * number + 50))
    shown = thumbnail([sheet, Image.new("RGB", (50, 50), "cyan"), Image.new("RGB", (50, 50), "magenta")])
    seen = {shown.getpixel((SIDE // 2, height)) for height in range(SIDE // 2 + 20)}
    assert {(255, 0, 0), (0, 255, 0)} <= seen and not {(0, 0, 255), (255, 255, 0)} & seen
    assert shown.getpixel((SIDE // 4, SIDE - 25)) == (0, 255, 255)
    assert shown.getpixel((3 * SIDE // 4, SIDE - 25)) == (255, 0, 255)


def test_words_stand_in_the_corner_of_their_picture_and_nowhere_else():
    blank = [Image.new("RGB", (9, 9), "white")] * 4
    corners = [(x, y) for y in (GAP, (SIDE + GAP) // 2) for x in (GAP, (SIDE + GAP) // 2)]
    shown = thumbnail(blank, words=["", "cat", "", "a line that is far too long for one of four pictures"])
    marked = [shown.getpixel((x + 2, y + 2)) == INK for x, y in corners]
    assert marked == [False, True, False, True]
    assert shown.getpixel((SIDE - GAP - 2, GAP + 2)) == (255, 255, 255)  # as wide as its words
    assert shown.getpixel((corners[1][0] + 2, GAP + CHIP + 2)) == (255, 255, 255)
    below = thumbnail([Image.new("RGB", (90, 9), "white")] + blank[:2], words=["", "", "drawn"])
    top = (SIDE - SIDE // 10 - SIDE // 2) // 2 + SIDE // 10
    assert [below.getpixel((x, top + 3)) for x in (2, SIDE // 2 + 2)] == [(255, 255, 255), INK]


def test_a_picture_that_is_hard_to_compress_is_made_small_enough(tmp_path):
    save(thumbnail([noise(seed) for seed in range(4)]), tmp_path / "x.jpg")
    assert 0 < (tmp_path / "x.jpg").stat().st_size < LARGEST


def test_what_cannot_be_made_small_enough_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="small enough"):
        save(noise(0, 2000), tmp_path / "x.jpg")
    assert not list(tmp_path.iterdir())
