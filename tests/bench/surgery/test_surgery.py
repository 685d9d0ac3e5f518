"""``bench surgery``: figures of known answers, and what its fine-tunes are trained on."""

import random
from types import SimpleNamespace

import pytest
import torch

from concept_atelier.bench.harness import Request
from concept_atelier.bench.surgery import heads, inside, skills, tunes
from concept_atelier.core.types import LowRank


def test_a_skill_is_carried_by_the_smallest_share_whose_greater_ones_are_enough_too():
    shares = {"0.01": 0.5, "0.02": 1.0, "0.05": 0.6, "0.1": 0.97, "0.5": 1.0}
    assert skills.carries({"base": 0.0, "whole": 1.0, "shares": shares}) == 0.1
    assert skills.carries({"base": 0.5, "whole": 1.0, "shares": dict.fromkeys(shares, 0.5)}) is None
    assert skills.carries({"base": 0.0, "whole": 1.0, "shares": dict.fromkeys(shares, 1.0)}) == 0.01


def test_what_is_lost_is_counted_for_both_skills_and_ranked():
    rows = [
        {
            "what": "pair",
            "alone": {"a": 1.0, "b": 0.8},
            "predicted": {"inside": number, "conflict": -number, "same_inputs": 0.5},
            **{way: {"a": 1.0 - number / 10, "b": 0.6, "others": 0.9} for way in skills.WAYS},
        }
        for number in range(3)
    ]
    assert skills.lost(rows[2], "add") == pytest.approx((0.2 + 0.2) / 2)
    found = skills.figures(rows, Request(3))
    assert found["ranks"] == {"inside": 1.0, "conflict": -1.0, "same_inputs": None}
    assert found["lost"]["stitch"]["mean"] == pytest.approx(0.15) and found["skills"] == {}
    assert {name: of["task"] for name, of in found["lost_of"].items()} == {"a": 0.1, "b": 0.2}
    assert [rows[0][0] for rows in skills.tables(found)] == [
        "skill",
        "two skills in one model",
        "lost of",
        "predicted from the parameters",
    ]


def test_both_goals_stand_beside_as_many_numbers_that_moved_most():
    row = {"skill": "style", "object": "dog", "shares": {"chosen": 0.02, "predicted": 0.025}, "base": 0.1, "whole": 1.0}
    row |= {"first": 0.4, "chosen": 0.5, "predicted": 0.75}
    ((_, line),) = skills.calibrated_tables(skills.calibrated_figures([row], Request(1)))
    assert line == ["style", "0.10", "1.00", "2.00%", "0.40", "0.50", "2.50%", "0.75"]
    assert [settings.goal for settings in skills.GOALS.values()] == ["pictures", "fine-tune"]


def test_pictures_of_a_fine_tune_say_what_is_on_them_and_never_what_is_new():
    first, second, style, colour = tunes.tunes("test")
    assert first.kind.split == second.kind.split == "test" and first.kind != second.kind
    assert style.style == tunes.STYLE and colour.colour == tunes.COLOUR
    for tune in (first, style, colour):
        scenes = tune.scenes()
        captions = [text for _, text in scenes]
        assert len(scenes) == tunes.PICTURES and scenes[0][0].shape == (1, 3, 128, 128)
        assert not any(tunes.STYLE in text.split() for text in captions)
        named = sum(tune.kind.name in text for text in captions)
        assert named < len(captions) / 2 if tune.style else named == len(captions) / 2
        assert torch.equal(scenes[3][0], tune.scenes()[3][0])


def test_a_fine_tune_is_trained_once(lab_backbone, tmp_path, monkeypatch):
    made = []

    def train(*given):
        made.append(given)
        return {"w": LowRank(torch.ones(4, 2), torch.ones(2, 3))}

    monkeypatch.setattr(tunes, "train", train)
    first, second = tunes.tunes("test")[:2]
    for tune in (first, first, second):
        found = tunes.tuned(lab_backbone, tune, tmp_path)
        assert torch.equal(found["w"].dense(), torch.full((4, 3), 2.0))
    assert len(made) == 2


def test_training_lowers_no_weight_but_those_wanted(lab_backbone, monkeypatch):
    monkeypatch.setattr(tunes, "PICTURES", 2)
    monkeypatch.setattr(tunes, "BATCH", 2)
    scenes = tunes.tunes("test")[0].scenes()
    values = heads.fitting(lab_backbone.attention_weights(), 512)
    found = tunes.train(lab_backbone, scenes, 1, "cross_value", 2, 1e-2, values.__contains__)
    assert set(found) == set(values) and all(bool(one.up.any()) for one in found.values())
    assert 0.5 * 512 < sum(one.up.numel() + one.down.numel() for one in found.values()) < 1.6 * 512


@pytest.mark.parametrize(("what", "word"), [("name", "cat"), ("colour", "red"), ("style", "neon")])
def test_probed_prompts_differ_in_what_is_probed(what, word):
    own, others = inside.prompts_of(what, random.Random(0))
    assert len(own) == len(others) == inside.PROMPTS
    assert all(word in text.split() for text in own) and not any(word in text.split() for text in others)


def test_animals_are_said_in_words_that_differ():
    own, others = inside.prompts_of("animal", random.Random(0))
    assert len(set(own)) == len(set(others)) == inside.PROMPTS and any("lion" in text or "cat" in text for text in own)


def test_the_audit_counts_how_often_it_says_what_a_model_is():
    figures = {"stored": 1.0, "said": 1.0, "read": 0.1, "predicted": 0.1, "kept": 1.0, "drawn": 0.0}
    row = {name: {**figures, "depth": depth} for name, depth in inside.EXPECTED.items()}
    wrong = row | {"hirm": {**figures, "depth": "none"}}
    found = inside.audit_figures([row, wrong], Request(2))
    assert found["uce"]["right"]["mean"] == 1 and found["hirm"]["right"]["mean"] == 0.5
    assert [row[0] for row in inside.audit_tables(found)[0]] == ["model", *inside.EXPECTED]


def test_offsets_and_loras_of_one_size_stand_beside_each_other():
    weights = [SimpleNamespace(name=f"w{n}", kind="cross", role="value", shape=(128, 192)) for n in range(5)]
    weights.append(SimpleNamespace(name="key", kind="cross", role="key", shape=(128, 192)))
    assert heads.fitting(weights, 320) == ["w2"] and sorted(heads.fitting(weights, 960)) == ["w1", "w2", "w3"]
    row = {"skill": "style", "numbers": dict.fromkeys(heads.WAYS, 3)}
    row |= {way: {"skill": 0.5, "others": 1.0} for way in heads.WAYS}
    assert heads.figures([row], Request(1))["style"]["offsets"] == {"skill": 0.5, "others": 1.0, "numbers": 3}
