"""Sentences of prompts over the lab's text encoder at random weights, and entries with ranges headless."""

import pytest
import torch

from concept_atelier.nodes import CaptureAttention, SentenceConcepts


@pytest.fixture(scope="module")
def made(call, sockets):
    return lambda **given: call(SentenceConcepts, clip=sockets["clip"], **given)


def test_sentences_are_compared_and_scheduled(made, encode):
    conditioning, table, report, *_ = made(text="a red cat.\na blue cat. a dog", ranges="0 - 1\n0 - 0.5\n0.5 - 1")
    first, second = conditioning
    assert (first[1]["start_percent"], first[1]["end_percent"]) == (0, 0.5)
    assert (second[1]["start_percent"], second[1]["end_percent"]) == (0.5, 1)
    assert torch.equal(first[0], encode("a red cat. a blue cat")[0][0])
    assert torch.equal(second[0], encode("a red cat. a dog")[0][0])
    assert "may contradict one another: red or blue" in report and table.count("\n") == 4
    assert "From 0% to 50% of denoising: 1, 2." in report


def test_sentences_say_the_same_from_the_given_similarity_on(made):
    text = "a cat on a hill. a rocket in the sky"
    said = [made(text=text, redundant=least)[2] for least in (0.0, 1.0)]
    assert ["Sentences 1 and 2 say the same" in report for report in said] == [True, False]


def test_one_part_carries_no_range(made, encode):
    ((context, extras),) = made(text="a red cat", combine="schedule")[0]
    assert torch.equal(context, encode("a red cat")[0][0]) and "start_percent" not in extras


def test_a_blend_of_one_share_is_that_sentence(made, encode):
    ((context, _),) = made(text="a red cat. a dog", combine="blend", shares="0, 1")[0]
    torch.testing.assert_close(context, encode("a dog")[0][0], atol=1e-4, rtol=1e-4)
    ((half, _),) = made(text="a red cat. a dog", combine="blend")[0]
    assert not torch.allclose(half, context, atol=1e-2)


def test_a_schedule_is_sampled(made, draw, encode):
    entries = made(text="a red cat. a dog", ranges="0 - 0.5\n0.5 - 1")[0]
    drawn = draw(positive=entries)["samples"]
    assert not torch.equal(drawn, draw(text="a red cat")["samples"])
    twice = made(text="a red cat. a red cat", ranges="0 - 0.4\n0.4 - 1")[0]
    assert torch.equal(draw(positive=twice)["samples"], draw(text="a red cat")["samples"])


def test_what_cannot_be_meant_is_refused(made, draw, call, sockets, encode):
    for given, said in (
        ({"text": " . "}, "has no sentences"),
        ({"text": "a cat. a dog", "ranges": "0 - 1"}, "2 sentences and 1 ranges"),
        ({"text": "a cat", "ranges": "all"}, "expected two numbers"),
        ({"text": "a cat. a dog", "ranges": "0 - 0.3\n0.6 - 1"}, "no sentence holds"),
        ({"text": "a cat. a dog", "combine": "blend", "shares": "1"}, "a number of 0 or more for each"),
        ({"text": "a cat. a dog", "combine": "blend", "shares": "x, 1"}, "expected a number"),
    ):
        with pytest.raises(ValueError, match=said):
            made(**given)
    entries = made(text="a red cat. a dog", ranges="0 - 0.5\n0.5 - 1")[0]
    with pytest.raises(ValueError, match="nothing from 0.5 on"):
        draw(positive=entries[:1])
    with pytest.raises(ValueError, match="with and without a range"):
        draw(positive=[entries[0], encode("a cat")[0]])
    listening = call(CaptureAttention, model=sockets["model"])[0]
    with pytest.raises(ValueError, match="without Capture Attention"):
        draw(model=listening, positive=entries)
