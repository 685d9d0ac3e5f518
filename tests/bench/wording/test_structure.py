"""``bench prompts``: its ways of drawing, and figures by hand."""

import pytest
import torch

from concept_atelier.bench.composing.cases import wanted
from concept_atelier.bench.harness import Request
from concept_atelier.bench.wording import structure

OPTIONS = {"dial": 0.0, "weight": 1.0}


def test_a_dial_of_0_and_weights_of_1_are_the_plain_prompt(lab_backbone, monkeypatch):
    monkeypatch.setattr(structure, "STEPS", 2)
    asked = wanted("development", 0, 0)[0]
    plain, local, weighted = (structure.draw(lab_backbone, asked, way, OPTIONS, 1) for way in structure.WAYS)
    assert torch.equal(plain, local) and torch.equal(plain, weighted)
    heavier = structure.draw(lab_backbone, asked, "weighted", {"dial": 0.0, "weight": 2.0}, 1)
    assert not torch.equal(plain, heavier)


def test_phrases_of_a_caption_are_counted(lab_backbone):
    found = structure._phrases(lab_backbone, "development", 3)
    right, begun, true = found["phrases"]
    assert right <= min(begun, true) and found["every"][0] == true <= found["every"][1]


def test_figures_by_hand():
    ways = {way: {"exact": True, "colours": [True, False]} for way in structure.WAYS}
    rows = [{"ways": ways, "captions": [{"phrases": [2, 2, 4], "every": [4, 8, 4]}]}] * 2
    found = structure.figures(rows, Request(2))
    assert found["local"]["exact"]["mean"] == 1 and found["plain"]["leak"]["mean"] == 0.5
    assert found["phrases"]["f1"] == pytest.approx(2 / 3) and found["every"]["f1"] == pytest.approx(2 / 3)
