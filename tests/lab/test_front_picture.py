"""The README's picture: which drawing a cell shows, and where cells stand."""

from types import SimpleNamespace

import torch
from PIL import Image

from concept_atelier.lab.front_picture import CELL, EDGE, LINE, Cell, sheet, surest


def test_the_surest_picture_shows_all_that_was_asked_for_and_nothing_else():
    judge = SimpleNamespace(names=("cat", "dog", "bee"))
    presence = torch.tensor([[0.9, 0.9, 0.8], [0.9, 0.2, 0.0], [0.7, 0.6, 0.1], [0.9, 0.9, 0.7]])
    assert surest(judge, presence, ["cat", "dog"]) == 2
    assert surest(judge, presence, ["cat"]) == 1
    assert surest(judge, presence, ["bee"]) == 0


def test_cells_stand_in_rows_below_their_titles():
    colours = ["red", "lime", "blue", "black"]
    cells = [Cell(Image.new("RGB", (16, 16), colour), colour) for colour in colours]
    picture = sheet([("both rows", cells[:2]), ("left | right", cells[2:])])
    assert picture.width < 2 * (CELL + 2 * EDGE)
    middles = [(EDGE + x, EDGE + LINE + y) for y in (CELL // 2, picture.height // 2) for x in (5, CELL + 20)]
    assert [picture.getpixel(at) for at in middles] == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)]
