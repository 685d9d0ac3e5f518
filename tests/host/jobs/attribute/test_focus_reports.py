"""Shares of attention outside a mask, by block and noise level."""

import pytest
import torch

from concept_atelier.core.attribute.focus import Focus
from concept_atelier.host.jobs.attribute.focus_reports import SHOWN, block_of, blocks_of, described, focus_csv

LAYERS = (
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2",
    "down_blocks.0.attentions.1.transformer_blocks.0.attn2",
    "mid_block.attentions.0.transformer_blocks.0.attn2",
)
FOUND = Focus(
    LAYERS, (0.1, 0.9), torch.tensor([[0.2, 0.4], [0.4, 0.8], [0.1, 0.3]]), 0.75, torch.ones(2, 2)
)  # fmt: skip


@pytest.mark.parametrize(
    ("layer", "block"),
    [
        (LAYERS[0], "down_blocks.0"),
        (LAYERS[2], "mid_block"),
        ("diffusion_model.input_blocks.4.1.transformer_blocks.1.attn2", "input_blocks.4"),
        ("diffusion_model.middle_block.1.transformer_blocks.0.attn2", "middle_block"),
        ("double_blocks.12", "double_blocks.12"),
        ("transformer_blocks.3.attn", "transformer_blocks.3"),
    ],
)
def test_layers_belong_to_blocks(layer, block):
    assert block_of(layer) == block


def test_blocks_are_the_mean_of_their_layers_at_each_level():
    blocks = blocks_of(FOUND)
    assert list(blocks) == ["down_blocks.0", "mid_block"]
    torch.testing.assert_close(blocks["down_blocks.0"], torch.tensor([0.3, 0.6]))


def test_numbers_stand_in_the_text_by_level_and_block():
    said = described(FOUND, "<1>").splitlines()
    assert said[0] == "37% of the attention to <1> lies outside its mask; spread evenly it would be 75%."
    assert said[1].endswith(": 0.1 23%, 0.9 50%.")
    assert f"most attention outside: {LAYERS[1]} 60%, {LAYERS[0]} 30%" in said[2]
    assert said[2].endswith(f"{LAYERS[2]} 20%.")
    assert said[3:] == ["down_blocks.0: 45% (at each level: 30%, 60%)", "mid_block: 20% (at each level: 10%, 30%)"]


def test_of_many_blocks_those_that_look_away_most_are_listed_in_the_models_order():
    count = SHOWN + 3
    layers = tuple(f"blocks.{number}" for number in range(count))
    found = Focus(layers, (0.5,), torch.linspace(0.1, 0.8, count)[:, None], 0.5, torch.ones(2, 2))
    said = described(found, "cat").splitlines()
    assert said[3].startswith("blocks.3: ") and len(said) == 3 + SHOWN + 1
    assert said[-1] == f"These are the {SHOWN} of {count} blocks with most attention outside; the CSV has all."


def test_the_csv_has_every_layer_and_all_of_them():
    assert focus_csv(FOUND).splitlines() == [
        "layer,block,mean,level 0.1,level 0.9",
        f"{LAYERS[0]},down_blocks.0,0.3000,0.2000,0.4000",
        f"{LAYERS[1]},down_blocks.0,0.6000,0.4000,0.8000",
        f"{LAYERS[2]},mid_block,0.2000,0.1000,0.3000",
        "all,all,0.3667,0.2333,0.5000",
    ]
