"""The README's picture: which drawing a cell shows, and where cells stand."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from concept_atelier.bench import drawing
from concept_atelier.bench.learn.learn import true_concepts
from concept_atelier.lab.judge.counter import CounterNet
from concept_atelier.lab.judge.judge import Judge, build_network
from concept_atelier.lab.world.atlas import load_atlas
from concept_atelier.tools.pages import front_picture
from concept_atelier.tools.pages.front_picture import CELL, EDGE, GAP, LINE, Cell, sheet, surest


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


@pytest.fixture
def hurried(monkeypatch):
    """One seed a cell, two steps to draw and to learn, and exact masks, since a model at random weights finds none."""
    method = front_picture.METHODS[front_picture.METHOD]
    settings = replace(method.preset("small"), steps=2, prior=1, prior_steps=1)
    monkeypatch.setattr(drawing, "STEPS", 2)
    monkeypatch.setattr(front_picture, "SEEDS", 1)
    monkeypatch.setattr(front_picture, "BATCH", 1)
    monkeypatch.setattr(front_picture, "METHODS", {method.name: replace(method, presets={"small": settings})})
    monkeypatch.setattr(front_picture, "found_concepts", true_concepts)


def test_every_cell_is_drawn(hurried, lab_model, lab_clip, lab_vae):
    judge = Judge(build_network().eval(), tuple(kind.name for kind in load_atlas().kinds), 0.5, CounterNet())
    picture, _ = front_picture.front_picture((lab_model, lab_clip, lab_vae), judge)
    cells = [(EDGE + x * (CELL + GAP), EDGE + LINE + y * (2 * LINE + CELL + GAP)) for y in (0, 1) for x in range(6)]
    for left, top in cells:
        assert len(picture.crop((left, top, left + CELL, top + CELL)).getcolors(2**15)) > 20
