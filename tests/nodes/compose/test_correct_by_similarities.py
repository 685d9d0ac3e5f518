"""Correct by Similarities: which rows change, and what is refused."""

import pytest
import torch

from concept_atelier.nodes import CorrectBySimilarities, EncodeConceptPrompt

TEXT = "a cat and a rocket"


@pytest.fixture
def correct(call, sockets, encode):
    def correct_(text: str = TEXT, conditioning=None, tokens=None, **given):
        values = {"words": "cat, rocket", "strength": 0.5, "window": 2, "threshold": 0.9, "keep_length": True}
        conditioning = encode(text) if conditioning is None else conditioning
        inputs = {"conditioning": conditioning, "clip": sockets["clip"], "text": text, "tokens": tokens}
        return call(CorrectBySimilarities, **inputs, **(values | given))[0]

    return correct_


def test_only_the_rows_of_the_concepts_change(correct, encode):
    before, after = encode(TEXT)[0], correct()[0]
    changed = (before[0] != after[0]).any(-1)[0].nonzero().flatten().tolist()
    assert changed == [2, 5]  # start, a, cat, and, a, rocket
    assert torch.equal(after[1]["pooled_output"], before[1]["pooled_output"])


def test_strength_of_zero_leaves_the_prompt_bit_identical(correct, encode):
    assert torch.equal(correct(strength=0.0)[0][0], encode(TEXT)[0][0])


def test_a_learnt_token_is_a_concept(correct, call, sockets, tokens):
    text = "a photo of <red> and <2>"
    encoded = call(EncodeConceptPrompt, clip=sockets["clip"], tokens=tokens, text=text)[0]
    after = correct(text, encoded, tokens, words="<red>, <2>")
    assert (encoded[0][0] != after[0][0]).any(-1).any()


def test_prompts_laid_one_behind_another_are_both_corrected(correct, encode):
    first, second = encode("a cat and a dog")[0], encode("a rocket and a fish")[0]
    joined = [[torch.cat([first[0], second[0]], 1), first[1]]]
    after = correct("a cat and a dog\na rocket and a fish", joined)[0][0]
    changed = (joined[0][0] != after).any(-1)[0].nonzero().flatten().tolist()
    assert changed == [2, 77 + 2]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"words": ""}, "there are no concepts"),
        ({"words": "whale"}, "'whale' is not in the text"),
        ({"text": ""}, "holds no words"),
        ({"window": 0}, "window"),
    ],
)
def test_what_cannot_be_corrected_is_refused(correct, encode, given, message):
    with pytest.raises(ValueError, match=message):
        correct(conditioning=encode(TEXT), **given)
