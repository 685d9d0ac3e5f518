"""LoRAs of feed-forward layers and convolutions, kept to the region of one concept."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from concept_atelier.core.compose.composer import share_of
from concept_atelier.core.compose.composition import Concept, Region, compose
from concept_atelier.core.compose.parts.adapters import read_adapter
from concept_atelier.core.compose.parts.layers import (
    Convolution,
    Layer,
    LayerInputs,
    RowsOfPass,
    blended,
    made_of,
    place_of,
)
from concept_atelier.core.compose.registry import METHODS
from concept_atelier.core.types import LowRank
from concept_atelier.host.adapters import backbone_of, layers_of
from concept_atelier.host.shared.weights.weight_patches import WeightPatch

LEFT = torch.zeros(1, 8, 8)
LEFT[..., :4] = 1


def change_of(rows, columns, seed=0, rank=2):
    draw = torch.Generator().manual_seed(seed)
    return LowRank(torch.randn(rows, rank, generator=draw), torch.randn(rank, columns, generator=draw) / 9)


def region(change, name="it", columns=slice(0, 3)):
    return Region("a cat", columns, layers={name: change})


def test_a_linear_layer_is_the_changed_one_inside_and_the_models_own_outside():
    change, given = change_of(5, 4), torch.randn(2, 64, 4)
    found = blended(LayerInputs("it", given, (8, 8)), [region(change)], LEFT[None], [1.0]).unflatten(1, (8, 8))
    torch.testing.assert_close(found[:, :, :4], (given @ change.dense().T).unflatten(1, (8, 8))[:, :, :4])
    assert not found[:, :, 4:].any()


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_is_too(stride):
    change, given = change_of(5, 4 * 9), torch.randn(2, 4, 16, 16)
    how = Convolution((3, 3), (stride, stride), (1, 1))
    grid = (16 // stride, 16 // stride)
    part = torch.zeros(1, 1, *grid)
    part[..., : grid[1] // 2] = 1
    found = blended(LayerInputs("it", given, grid, convolution=how), [region(change)], part, [1.0])
    whole = F.conv2d(given, change.dense().view(5, 4, 3, 3), stride=stride, padding=1)
    torch.testing.assert_close(found[..., : grid[1] // 2], whole[..., : grid[1] // 2], rtol=1e-4, atol=1e-4)
    assert not found[..., grid[1] // 2 :].any()


def test_of_rows_of_the_text_a_regions_own_have_its_change():
    """Six rows of text, of which the region's are the fourth to sixth, and 64 of the picture."""
    change, given = change_of(5, 4), torch.ones(1, 70, 4)
    own = region(change, columns=slice(3, 6))
    inputs = LayerInputs("it", given, (8, 8), slice(6, 70), text=0, length=6)
    full = made_of(inputs, change)[0, 0]
    found = blended(inputs, [own], LEFT[None], [1.0])[0]
    assert not found[:3].any() and torch.equal(found[3:6], full.expand(3, -1))
    negative = blended(replace(inputs, conditional=False), [own], LEFT[None], [1.0])[0]
    torch.testing.assert_close(negative[:6], full.expand(6, -1) / 2)


def test_a_layer_that_no_region_changes_adds_nothing():
    inputs = LayerInputs("other", torch.ones(1, 64, 4), (8, 8))
    assert blended(inputs, [region(change_of(5, 4))], LEFT[None], [1.0]) is None
    assert blended(replace(inputs, name="it"), [region(change_of(5, 4))], LEFT[None] * 0, [0.0]) is None


@pytest.mark.parametrize(
    ("name", "placed"),
    [
        ("down_blocks.0.resnets.0.conv1", True),
        ("transformer_blocks.0.ff.net.2", True),
        ("down_blocks.0.resnets.0.time_emb_proj", False),
        ("double_blocks.0.img_mod.lin", False),
        ("double_blocks.0.img_mlp.0", True),
        ("input_blocks.1.0.emb_layers.1", False),
        ("layers.0.adaLN_modulation.0", False),
    ],
)
def test_layers_without_a_place_are_named(name, placed):
    assert Layer(name, (4, 4)).placed is placed


def test_a_name_for_some_rows_of_a_matrix_changes_these():
    layer, change = Layer("qkv", (12, 4), start=4, rows=4), change_of(4, 4)
    whole = layer.whole(change).dense()
    assert layer.size == (4, 4) and torch.equal(whole[4:8], change.dense())
    assert not whole[:4].any() and not whole[8:].any()


def test_rows_are_found_by_their_number():
    unet, joint = RowsOfPass((16, 12)), RowsOfPass((16, 12), (8, 6), 10, 2, 8, 64)
    assert place_of("it", 48, unet) == ((8, 6), slice(None), None) and place_of("it", 50, unet) is None
    assert place_of("it", 74, joint) == ((8, 6), slice(10, 58), 2)
    assert place_of("it", 64, joint) == ((8, 6), slice(0, 48), None)
    assert place_of("it", 10, joint) == ((8, 6), None, 2) and place_of("it", 8, joint) == ((8, 6), None, 0)
    assert place_of("txt_mlp.0", 64, replace(joint, text=64)) == ((8, 6), None, 2)


KINDS = ("ff_net", "proj_in", "conv1", "attn2_to_v", "downsamplers")


def file_of(layers, kinds=KINDS):
    """A LoRA file of layers of these kinds."""
    tensors = {}
    for number, (base, layer) in enumerate(layers.items()):
        if base.startswith("lora_unet_") and any(kind in base for kind in kinds) and layer.placed:
            rows, columns = layer.size
            change = change_of(rows, columns, number)
            down = change.down.view(2, *layer.shape[1:])
            tensors |= {f"{base}.lora_up.weight": change.up.view(rows, 2, *[1] * (down.ndim - 2))}
            tensors |= {f"{base}.lora_down.weight": down / columns**0.5, f"{base}.alpha": torch.tensor(1.0)}
    return tensors


def composed(backbone, adapter, mask):
    concept = Concept("a cat", mask, adapter=adapter.changes, layers=adapter.layers)
    composition = compose(backbone, "a rocket", [concept])
    composer = METHODS["lora_composer"]
    settings = replace(composer.preset("paper"), guidance=0.0, renew=False)
    return composition, composer.begin(composition, settings, share_of(backbone.schedule.steps))


def test_a_region_of_the_whole_picture_is_the_changed_model(lab_model, lab_clip):
    """Feed-forward layers, convolutions and attention of one file."""
    backbone, layers = backbone_of(lab_model, lab_clip), layers_of(lab_model)
    tensors = file_of(layers)
    adapter = read_adapter(backbone, tensors, 1.0, "it", layers)
    assert adapter.changes and len(adapter.layers) > 10 and adapter.left_out == ""
    composition, run = composed(backbone, adapter, torch.ones(8, 8))
    by_name = {f"{layer.name}.weight": layer for layer in layers.values()}
    factors = {f"{name}.weight": change for name, change in adapter.layers.items()}
    factors |= {name: adapter.changes[place] for name, place in places(backbone).items() if place in adapter.changes}
    assert factors.keys() <= by_name.keys()
    changed = backbone_of(lab_model.with_patch(WeightPatch(factors)), lab_clip)
    latent, time = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([500])
    text = backbone.encode_text(["a cat"])
    with torch.no_grad():
        with backbone.edit_attention(run.edit), backbone.edit_layers(run.layers, composition.layers):
            ours = backbone.predict_noise(latent, time, composition.conditioning)
        theirs, plain = (one.predict_noise(latent, time, text) for one in (changed, backbone))
        assert torch.equal(backbone.predict_noise(latent, time, text), plain)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(theirs, plain, rtol=1e-2, atol=1e-2)


def places(backbone):
    from concept_atelier.core.compose.parts.adapters import entries

    return entries(backbone)


def test_other_spellings_of_the_same_weights_change_the_same(lab_model, lab_clip):
    backbone, layers = backbone_of(lab_model, lab_clip), layers_of(lab_model)
    base = next(base for base in layers if base.startswith("lora_unet_") and base.endswith("attn1_to_q"))
    other = next(key for key, one in layers.items() if one.name == layers[base].name and key.startswith("unet."))
    rows, columns = layers[base].size
    change = change_of(rows, columns)
    first = {f"{base}.lora_up.weight": change.up, f"{base}.lora_down.weight": change.down}
    second = {f"{other}.lora_B.weight": change.up, f"{other}.lora_A.weight": change.down}
    one, two = (read_adapter(backbone, tensors, 1.0, "it", layers).changes for tensors in (first, second))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[place].dense(), two[place].dense()) for place in one)
    assert read_adapter(backbone, first, 1.0, "it").changes.keys() == one.keys()


def test_what_a_file_scales_and_what_has_no_place_is_left_out_and_named(lab_model, lab_clip):
    backbone, layers = backbone_of(lab_model, lab_clip), layers_of(lab_model)
    tensors = file_of(layers, ("conv1",))
    time = next(base for base in layers if base.startswith("lora_unet_") and "time_emb_proj" in base)
    scaled = next(iter(tensors)).partition(".")[0]
    rows, columns = layers[time].size
    more = {f"{time}.lora_up.weight": torch.ones(rows, 1), f"{time}.lora_down.weight": torch.ones(1, columns)}
    found = read_adapter(backbone, tensors | more | {f"{scaled}.dora_scale": torch.ones(1)}, 1.0, "it", layers)
    assert "Of it, 2 weights are left out" in found.left_out
    assert "layers of time and modulation (1), other layers (1)" in found.left_out
    assert layers[scaled].name not in found.layers
