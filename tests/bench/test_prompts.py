"""``bench prompts``: its ways of drawing, and figures by hand."""

import types
from dataclasses import replace

import pytest
import torch

from concept_atelier.bench import prompts
from concept_atelier.bench.compose.cases import one_styled, wanted
from concept_atelier.bench.harness import Request
from concept_atelier.lab.world.atlas import load_atlas

OPTIONS = {"dial": 0.0, "weight": 1.0}


def test_a_dial_of_0_and_weights_of_1_are_the_plain_prompt(lab_backbone, monkeypatch):
    monkeypatch.setattr(prompts, "STEPS", 2)
    asked = wanted("development", 0, 0)[0]
    plain, local, weighted = (prompts.draw(lab_backbone, asked, way, OPTIONS, 1) for way in prompts.WAYS)
    assert torch.equal(plain, local) and torch.equal(plain, weighted)
    heavier = prompts.draw(lab_backbone, asked, "weighted", {"dial": 0.0, "weight": 2.0}, 1)
    assert not torch.equal(plain, heavier)


def test_phrases_of_a_caption_are_counted(lab_backbone):
    found = prompts._phrases(lab_backbone, "development", 3)
    right, begun, true = found["phrases"]
    assert right <= min(begun, true) and found["every"][0] == true <= found["every"][1]


@pytest.mark.parametrize(
    ("shown", "own", "others"), [((1, 1), [True], [False]), ((0, 1), [False], [False]), ((1, 0), [True], [True])]
)
def test_a_style_said_of_one_object_is_its_own_and_leak_on_the_other(shown, own, others):
    """The judge sees two objects, each in a style by its number; the first shall have style 1."""
    styles = load_atlas().styles
    several = wanted("development", 0, 0)[0]
    kinds = several.kinds[:2]
    asked = replace(several, kinds=kinds, colours=(None, None), styles=(styles[1], None))
    judge = types.SimpleNamespace(index=[kind.name for kind in kinds].index)
    reading = types.SimpleNamespace(style_of=lambda number: torch.eye(len(styles))[shown[number]][None])
    names = frozenset(kind.name for kind in kinds)
    assert prompts._styles(judge, reading, asked, names) == {"own": own, "others": others}
    assert prompts._styles(judge, reading, asked, frozenset({kinds[0].name})) == {"own": own, "others": []}


def test_one_of_two_objects_is_asked_for_in_a_style():
    for index in range(4):
        asked = one_styled("development", 0, index)
        (said,) = [style for style in asked.styles if style]
        assert said != load_atlas().styles[0] and asked.prompt.count(said) == 1 and len(asked.kinds) == 2


def test_figures_by_hand():
    ways = {way: {"exact": True, "colours": [True, False]} for way in prompts.WAYS}
    rows = [{"ways": ways, "captions": [{"phrases": [2, 2, 4], "every": [4, 8, 4]}]}] * 2
    found = prompts.figures(rows, Request(2))
    assert found["local"]["exact"]["mean"] == 1 and found["plain"]["leak"]["mean"] == 0.5
    styled = {"exact": True, "own": [True], "others": [False]}
    of_style = prompts.figures([rows[0] | {"ways": dict.fromkeys(prompts.WAYS, styled)}], Request(1))
    assert of_style["plain"]["leak"]["mean"] == 1 and of_style["plain"]["own"]["mean"] == 1
    assert found["phrases"]["f1"] == pytest.approx(2 / 3) and found["every"]["f1"] == pytest.approx(2 / 3)
