"""The page of pictures: sheets, and that every picture it names is there."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from concept_atelier.bench import drawing
from concept_atelier.tools.pages import page
from concept_atelier.tools.pages.page import (
    Page,
    enlarged,
    scene_case,
    sheet,
    show_masks,
    show_prompts,
    show_world,
    write_page,
)


def test_a_sheet_has_its_rows_side_by_side_with_white_between_them():
    dark = torch.zeros(2, 3, 8, 10)
    pixels = sheet([dark, dark[:1]], gap=4)
    assert pixels.shape == (2 * 12, 2 * 14, 3) and pixels.dtype == np.uint8
    assert (pixels[:8, :10] == 0).all() and (pixels[8:12] == 255).all() and (pixels[:8, 10:14] == 255).all()
    assert (pixels[12:, 14:] == 255).all()  # the second row is one picture short


def test_the_page_names_pictures_that_are_there(tmp_path):
    path = write_page(tmp_path, [show_world])
    text = path.read_text()
    named = re.findall(r"\]\((lab/\w+\.jpg)\)", text)
    assert named == ["lab/objects.jpg", "lab/styles.jpg", "lab/scenes.jpg"]
    for name in named:
        assert Image.open(tmp_path / name).width > 200
    assert "some of them with synonyms from WordNet: “" in text
    assert {file.name for file in (tmp_path / "lab").iterdir()} == {"objects.jpg", "styles.jpg", "scenes.jpg"}


def test_the_models_parts_of_the_page(tmp_path, untrained, monkeypatch):
    monkeypatch.setattr(drawing, "STEPS", 2)
    monkeypatch.setattr(page, "PROMPTS", ("a cat", "a dog"))
    monkeypatch.setattr(page, "SCENES", (3,))
    shown = Page(tmp_path)
    shown.__dict__["backbone"] = untrained
    show_prompts(shown)
    show_masks(shown)
    assert Image.open(tmp_path / "lab/prompts.jpg").size == (2 * 132, 3 * 132)
    assert Image.open(tmp_path / "lab/masks.jpg").size == (260, 3 * 260)


def test_scenes_of_the_page_are_pairs_no_model_saw():
    assert len(scene_case(3).names) == 2
    assert enlarged(torch.zeros(1, 3, 16, 16), 32).shape == (1, 3, 32, 32)


@pytest.fixture(scope="module")
def untrained():
    from concept_atelier.bench.command import load_backbone

    return load_backbone(untrained=True)
