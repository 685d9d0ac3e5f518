"""Show Word Information: maps, numbers, and what is refused."""

import pytest
import torch

from concept_atelier.core.attribute.information import InformationSettings
from concept_atelier.core.learn.engine.passes import counted_passes
from concept_atelier.host.jobs.attribute.word_information import TOGETHER, measured, read_by
from concept_atelier.nodes import ShowWordInformation
from concept_atelier.nodes.attribute import show_word_information as module

PICTURE = torch.rand(2, 48, 64, 3, generator=torch.Generator().manual_seed(4))


@pytest.fixture
def show(call, sockets):
    def show_(**given):
        values = {"image": PICTURE, "text": "a cat and a rocket", "words": "cat, rocket", "show": "in the text"}
        return call(ShowWordInformation, **sockets, **(values | {"draws": 2, "seed": 1} | given))

    return show_


@pytest.mark.parametrize(("how", "count"), [("in the text", 2), ("alone", 2), ("two words together", 4)])
def test_maps_have_the_pictures_size_and_are_the_same_again(show, how, count):
    maps, masks = show(show=how)
    assert len(maps) == count and masks.shape == (count, 48, 64)
    assert float(masks.min()) >= 0 and float(masks.max()) <= 1
    assert torch.equal(show(show=how)[1], masks)


def test_conditional_information_is_said_of_two_words_together(show, lab_backbone, monkeypatch):
    """``I(x; first | second)`` is what a word gives in the text, where the other is."""
    settings = InformationSettings(draws=2)
    picture = PICTURE[:1].movedim(-1, 1)
    asked = (lab_backbone, picture, "a cat and a rocket", ["cat", "rocket"])
    found = measured(*asked, TOGETHER, settings, 1, {}, None)
    cat, rocket = measured(*asked, "in the text", settings, 1, {}, None).nats
    expected = {"cat if rocket is known": cat, "rocket if cat is known": rocket}
    assert found.given == pytest.approx(expected, rel=1e-4)
    said = []
    monkeypatch.setattr(module, "text_under", lambda *lines: said.extend(lines) or {})
    show(show=TOGETHER)
    assert f"cat if rocket is known: {expected['cat if rocket is known']:.1f}, rocket if cat is known: " in said[0]
    said.clear()
    show()
    assert "known" not in said[0]


@pytest.mark.parametrize(("how", "words", "texts"), [("alone", ["cat"], 2), (TOGETHER, ["cat", "rocket"], 4)])
def test_the_cost_that_is_said_is_what_the_model_predicts(lab_backbone, how, words, texts):
    settings = InformationSettings(draws=2)
    with counted_passes(lab_backbone) as passes:
        found = measured(
            lab_backbone, PICTURE[:1].movedim(-1, 1), "a cat and a rocket", words, how, settings, 1, {}, None
        )
    assert passes.count == 2 * texts
    assert f"Cost: {2 * texts} predictions: 2 levels of noise, {texts} texts at each." in read_by(found, settings)


def test_a_learnt_token_is_a_word(show, tokens):
    _, masks = show(text="a photo of <red> and <2>", words="<red>", tokens=tokens)
    assert masks.shape == (1, 48, 64)


def test_the_estimators_give_other_maps(show):
    assert not torch.allclose(show(estimator="standard")[1], show(estimator="orthogonal")[1], atol=1e-2)


def test_a_word_that_is_given_twice_is_measured_once(show):
    maps, masks = show(words="cat, cat")
    assert len(maps) == len(masks) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"words": ""}, "at least one word"),
        ({"words": "whale"}, "'whale' is not in the text"),
        ({"words": "cat", "show": "two words together"}, "exactly two different words, got 1"),
        ({"words": "cat, cat", "show": "two words together"}, "exactly two different words, got 1"),
        ({"text": "<7>", "words": "<7>"}, "names <7>"),
    ],
)
def test_what_cannot_be_measured_is_refused(show, given, message):
    with pytest.raises(ValueError, match=message):
        show(**given)


@pytest.mark.parametrize(("how", "count"), [("in the text", 2), ("alone", 2), ("two words together", 4)])
def test_a_transformer_is_asked_as_a_unet_is(call, transformer, how, count):
    given = {"image": PICTURE, "text": "a cat and a rocket", "words": "cat, rocket", "draws": 2, "seed": 1}
    maps, masks = call(ShowWordInformation, **transformer, **given, show=how)
    assert len(maps) == count and masks.shape == (count, 48, 64) and float(masks.max()) > 0
