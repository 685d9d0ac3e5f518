"""Sheets of what every method learns from one scene."""

import pytest
import torch
from PIL import Image

from concept_atelier.bench import drawing
from concept_atelier.bench.command import load_backbone
from concept_atelier.core.learn.registry import METHODS
from concept_atelier.core.types import ConceptTokens
from concept_atelier.tools.pages import method_sheets
from concept_atelier.tools.pages.page import scene_case


def test_every_method_has_a_sheet_and_every_preset_is_there():
    assert {method for method, _ in method_sheets.SHEETS.values()} == set(METHODS)
    assert all(preset in METHODS[method].presets for method, preset in method_sheets.SHEETS.values())


def test_a_sheet_has_a_row_a_token_and_one_of_all(tmp_path, monkeypatch):
    backbone, case = load_backbone(untrained=True), scene_case(3)
    tokens = ConceptTokens({str(i + 1): backbone.word_vectors(word) for i, word in enumerate("ab")}, "lab")
    monkeypatch.setattr(drawing, "STEPS", 2)
    monkeypatch.setattr(method_sheets, "DRAWS", 2)
    monkeypatch.setattr(method_sheets, "learn_scene", lambda *_: tokens)
    method_sheets.write_sheets(tmp_path, ["cones"], backbone)
    picture = Image.open(tmp_path / "methods/cones.jpg")
    assert picture.size == (3 * 100, 3 * 100)
    shown = method_sheets.rows(backbone, case, tokens)
    assert not torch.equal(shown[0][0], shown[1][0]) and not torch.equal(shown[0][1], shown[0][2])


def test_a_sheet_that_is_not_known():
    with pytest.raises(KeyError, match="nonsense"):
        method_sheets.write_sheets(names=["nonsense"], backbone=load_backbone(untrained=True))
