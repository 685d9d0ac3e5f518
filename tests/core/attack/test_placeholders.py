"""A learnt token that was erased is attacked and compared as the token, and never read as letters."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.attack.comparison import compare
from concept_atelier.core.attack.registry import SCENARIOS
from concept_atelier.core.attack.run import attack

MARK = "<red>"


class Reading:
    """A backbone that keeps every text which names the mark, and whether the token came with it."""

    def __init__(self, backbone):
        self.backbone, self.read = backbone, []

    def __getattr__(self, name):
        return getattr(self.backbone, name)

    def encode_text(self, texts, placeholders=None):
        self.read += [(text, MARK in (placeholders or {})) for text in texts if MARK in text]
        return self.backbone.encode_text(texts, placeholders)


@pytest.fixture
def learnt(lab_backbone, generator):
    return {MARK: {"clip_l": torch.randn(1, lab_backbone.text_widths["clip_l"], generator=generator)}}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_reads_the_token(task, lab_backbone, learnt, scenario):
    original, erased = Reading(lab_backbone), Reading(lab_backbone)
    words = {"concept": MARK, "synonyms": (f"big {MARK}",), "relatives": (f"{MARK} cat",), "placeholders": learnt}
    given = replace(task(), original=original, erased=erased, erase_more=lambda words: erased, **words)
    attack(given, [scenario])
    read = original.read + erased.read
    assert read and all(came for _, came in read), [text for text, came in read if not came]


def test_a_comparison_reads_the_token(task, lab_backbone, learnt):
    original, erased = Reading(lab_backbone), Reading(lab_backbone)
    words = {"erased": [MARK], "synonyms": [f"big {MARK}"], "others": ["car"]}
    made = compare(original, erased, words, lambda p: p.flatten(1), task().settings, placeholders=learnt)
    assert made.words == (MARK, f"big {MARK}", "car")
    assert original.read and erased.read and all(came for _, came in original.read + erased.read)


def test_the_token_that_an_attack_learns_takes_the_place_of_one_of_its_name(task, lab_backbone, learnt, generator):
    """``<concept>`` in a scenario's own prompt is what the scenario learnt."""
    own, other = ({"clip_l": torch.randn(1, 192, generator=generator)} for _ in range(2))
    given = replace(task(), placeholders={**learnt, "<concept>": other})
    mine = given.draw(lab_backbone, ["a <concept>"] * 2, {"<concept>": own})
    assert torch.equal(mine, task().draw(lab_backbone, ["a <concept>"] * 2, {"<concept>": own}))
    assert not torch.equal(mine, given.draw(lab_backbone, ["a <concept>"] * 2))
