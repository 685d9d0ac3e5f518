"""Places of weights in the original checkpoints' layout."""

import pytest

from concept_atelier.host.shared.weights.unet_layouts import original_names


def test_an_upsampler_stands_behind_attention_where_there_is_some():
    keys = [
        "down_blocks.0.resnets.0.conv1.weight",
        "down_blocks.0.resnets.1.conv1.weight",
        "down_blocks.1.resnets.0.conv1.weight",
        "up_blocks.0.upsamplers.0.conv.weight",
        "up_blocks.1.attentions.0.proj_in.weight",
        "up_blocks.1.upsamplers.0.conv.weight",
        "add_embedding.linear_2.bias",
    ]
    found = original_names(keys)
    assert found["up_blocks.0.upsamplers.0.conv.weight"] == "output_blocks.2.1.conv.weight"
    assert found["up_blocks.1.upsamplers.0.conv.weight"] == "output_blocks.5.2.conv.weight"
    assert found["down_blocks.1.resnets.0.conv1.weight"] == "input_blocks.4.0.in_layers.2.weight"
    assert found["add_embedding.linear_2.bias"] == "label_emb.0.2.bias"


def test_a_key_without_a_place_is_named():
    with pytest.raises(KeyError, match="no place"):
        original_names(["down_blocks.0.adapters.0.weight"])
