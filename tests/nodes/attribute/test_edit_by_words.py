"""Edit by Words: pictures, region, and what is refused."""

import pytest
import torch

from concept_atelier.nodes import EditByWords
from concept_atelier.nodes.attribute import edit_by_words as module
from concept_atelier.nodes.attribute.edit_by_words import read_weights


@pytest.fixture
def edit(call, sockets):
    def edit_(**given):
        values = {"prompt": "a cat and a dog", "edited_prompt": "a cat and a rocket", "weights": "", "negative": ""}
        values |= {"width": 72, "height": 64, "steps": 2, "guidance": 3.0, "seed": 1}
        return call(EditByWords, **sockets, **(values | {"cross_until": 0.8, "self_until": 0.4} | given))

    return edit_


def test_pictures_of_both_prompts_and_where_they_differ(edit):
    before, after, region = edit()
    assert before.shape == after.shape == (1, 64, 72, 3) and region.shape == (1, 64, 72)
    assert not torch.allclose(before, after, atol=1e-3) and set(region.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(edit()[1], after)


def test_a_learnt_token_may_be_put_in(edit, tokens):
    assert edit(edited_prompt="a cat and a <red>", tokens=tokens)[1].shape == (1, 64, 72, 3)


def test_masks_are_tested_one_by_one(edit, monkeypatch):
    said = []
    monkeypatch.setattr(module, "text_under", lambda *lines: said.extend(lines) or {})
    before, after, region = edit(masks=torch.stack([torch.ones(64, 72), torch.zeros(64, 72)]))
    whole = float((after - before).abs().mean())
    assert said[1:3] == [f"Mask 1: {whole:.3f} inside, 0.000 outside.", f"Mask 2: 0.000 inside, {whole:.3f} outside."]
    said.clear()
    edit(masks=region)
    inside, outside = said[0].split()[5], said[0].split()[11]
    assert said[1] == f"Mask 1: {inside} inside, {outside} outside."
    said.clear()
    assert torch.equal(edit()[1], after) and not any("Mask" in line for line in said)


def test_a_word_may_be_removed_or_exchanged_for_one_of_more_pieces(edit):
    for text in ("a cat", "a cat and a teddy bear"):
        before, after, region = edit(edited_prompt=text)
        assert not torch.allclose(before, after, atol=1e-3) and bool(region.any())


def test_weights_are_words_and_factors():
    assert read_weights("cat=0.5, teddy bear = 2") == {"cat": 0.5, "teddy bear": 2.0}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"edited_prompt": "a cat and a dog"}, "nothing changes"),
        ({"weights": "whale=2"}, "'whale' is not in the text"),
        ({"weights": "cat"}, "word=factor"),
        ({"weights": "cat=much"}, "word=factor"),
        ({"weights": "cat=99"}, "from -10 to 10"),
        ({"edited_prompt": "a <7>"}, "names <7>"),
    ],
)
def test_what_cannot_be_edited_is_refused(edit, given, message):
    with pytest.raises(ValueError, match=message):
        edit(**given)
