"""Encode Concept Prompt: names, numbers, and marks that nothing stands for."""

import pytest
import torch

from concept_atelier.nodes import EncodeConceptPrompt


@pytest.fixture
def context(call, sockets, tokens):
    return lambda text: call(EncodeConceptPrompt, clip=sockets["clip"], tokens=tokens, text=text)[0][0][0]


def test_names_and_numbers_mean_the_same(context):
    assert torch.equal(context("a photo of <red> and <2>"), context("a photo of <1> and <green>"))
    assert not torch.allclose(context("a photo of <1>"), context("a photo of <2>"), atol=1e-3)


def test_without_tokens_it_is_the_stock_encoding(context, encode):
    assert torch.equal(context("a photo of a cat"), encode("a photo of a cat")[0][0])
    assert torch.equal(context(""), encode("")[0][0])


def test_the_result_is_a_conditioning_that_samples(call, sockets, tokens, draw):
    encoded = call(EncodeConceptPrompt, clip=sockets["clip"], tokens=tokens, text="<1> and <2>")[0]
    (entry,) = encoded
    assert entry[0].shape == (1, 77, 192) and entry[1]["pooled_output"].shape == (1, 192)
    one, two = (draw(positive=encoded)["samples"] for _ in range(2))
    assert torch.equal(one, two) and not torch.allclose(one, draw(text="and")["samples"], atol=1e-4)


@pytest.mark.parametrize("mark", ["<7>", "<blue>", "<0>", "<Red>"])
def test_marks_without_a_token_are_refused_with_those_there_are(context, mark):
    with pytest.raises(ValueError, match=f"names {mark}, but the tokens are: <1>, <2>, <red>, <green>"):
        context(f"a photo of {mark} and <1>")


def test_a_long_prompt_is_read_in_chunks_as_comfyui_reads_it(context):
    long = context("<1> " * 81)
    assert long.shape == (1, 154, 192)
    torch.testing.assert_close(long[:, 77:], context("<1> " * 6))


def test_a_long_prompt_samples_beside_a_short_negative(call, sockets, tokens, draw):
    encoded = call(EncodeConceptPrompt, clip=sockets["clip"], tokens=tokens, text="a photo of <1> " + "on blue " * 60)[
        0
    ]
    assert torch.isfinite(draw(positive=encoded)["samples"]).all()
