"""The structure of prompts inside ComfyUI: phrases, for every kind of text encoder."""

import pytest
import torch

TEXT = "a photo of a red cat, and a dog with a hat"
PHRASES = ["a photo", "of a red cat", "and a dog", "with a hat"]


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
def test_phrases_are_weighted_as_the_stock_node_weights_them(run, stock, parts_of, family):
    clip = parts_of(family)["clip"]
    found = run("ChunkPrompt", clip=clip, text=TEXT, share=0, weights="hat: 1.4")
    assert found[2].split("\n") == PHRASES
    again = stock("CLIPTextEncode", clip=clip, text=found[1])[0]
    assert torch.equal(found[0][0][0], again[0][0])
    assert torch.equal(found[0][0][1]["pooled_output"], again[0][1]["pooled_output"])
    long = run("ChunkPrompt", clip=clip, text=TEXT, share=0, line_tokens=10)
    assert long[0][0][0].shape[1] == 2 * 77 and long[1].count("\n") == 1


@pytest.mark.parametrize("family", ["flux", "z_image", "qwen_image", "sd3"])
def test_encoders_of_any_length_are_given_one_line(run, stock, clip_of, family):
    found = run("ChunkPrompt", clip=clip_of(family), text=TEXT, share=0, line_tokens=8)
    assert found[2].split("\n") == PHRASES and found[1] == TEXT
    assert torch.equal(found[0][0][0], stock("CLIPTextEncode", clip=clip_of(family), text=TEXT)[0][0][0])


def test_an_encoder_whose_rows_are_not_its_words_is_refused(run, clip_of):
    with pytest.raises(ValueError, match="gives no row for each word"):
        run("ChunkPrompt", clip=clip_of("anima"), text=TEXT)
