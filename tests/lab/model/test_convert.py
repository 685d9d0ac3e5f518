"""The SD1.5 key layout: one key for one key, none lost."""

import pytest

from concept_atelier.lab.model.convert import checkpoint, unet_to_sd15
from concept_atelier.lab.model.modules import build_modules


def test_every_key_finds_a_place_of_its_own():
    modules = build_modules(0)
    state = modules.unet.state_dict()
    converted = unet_to_sd15(state)
    assert len(converted) == len(state)
    assert sorted(tuple(v.shape) for v in converted.values()) == sorted(tuple(v.shape) for v in state.values())


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("input_blocks.0.0.weight", "conv_in.weight"),
        (
            "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
            "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",
        ),
        ("input_blocks.2.0.op.weight", "down_blocks.0.downsamplers.0.conv.weight"),
        ("input_blocks.3.0.in_layers.2.weight", "down_blocks.1.resnets.0.conv1.weight"),
        ("middle_block.2.emb_layers.1.bias", "mid_block.resnets.1.time_emb_proj.bias"),
        ("output_blocks.1.2.conv.weight", "up_blocks.0.upsamplers.0.conv.weight"),
        ("output_blocks.5.1.proj_out.weight", "up_blocks.2.attentions.1.proj_out.weight"),
        ("output_blocks.4.0.skip_connection.weight", "up_blocks.2.resnets.0.conv_shortcut.weight"),
        ("time_embed.2.weight", "time_embedding.linear_2.weight"),
        ("out.2.bias", "conv_out.bias"),
    ],
)
def test_known_places(theirs, ours):
    state = build_modules(0).unet.state_dict()
    assert unet_to_sd15(state)[theirs] is state[ours]


def test_checkpoint_has_the_three_prefixes():
    prefixes = {key.split(".")[0] for key in checkpoint(build_modules(0))}
    assert prefixes == {"model", "cond_stage_model", "first_stage_model"}


def test_unknown_key():
    with pytest.raises(KeyError, match="no place"):
        unet_to_sd15({"down_blocks.0.adapters.0.weight": None})
