"""Edits of attention, on the UNet and on a transformer."""

import pytest
import torch

from concept_atelier.core.attention.probabilities import attend
from concept_atelier.host.adapters import backbone_of
from concept_atelier.lab.model.handles import transformer_handles
from concept_atelier.lab.model.transformer import TRANSFORMER_CONFIG, build_transformer

LATENT = torch.randn(2, 4, 6, 10, generator=torch.Generator().manual_seed(0))
SMALL = {
    **TRANSFORMER_CONFIG,
    "num_layers": 1,
    "num_single_layers": 2,
    "attention_head_dim": 12,
    "num_attention_heads": 2,
    "axes_dims_rope": (4, 4, 4),
}


@pytest.fixture(scope="module")
def transformer_backbone(lab_modules):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        transformer = build_transformer(SMALL).eval().requires_grad_(False)
        for parameter in transformer.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        return backbone_of(*transformer_handles(transformer, lab_modules))


@pytest.fixture(params=["unet", "transformer"])
def backbone(request, lab_backbone, transformer_backbone):
    return lab_backbone if request.param == "unet" else transformer_backbone


def predict(backbone, conditional=None):
    conditioning = backbone.encode_text(["a cat", "a dog"])
    with torch.no_grad():
        return backbone.predict(LATENT, torch.tensor([7, 7]), conditioning, conditional)


def same(inputs):
    """What the layer computes itself."""
    call = inputs.call
    return attend(call.query, call.key, inputs.value, call.scale)


def test_an_edit_that_computes_the_same_changes_nothing(backbone):
    before, sites = predict(backbone), []

    def edit(inputs):
        sites.append(inputs.call.site)
        return same(inputs)

    with backbone.edit_attention(edit):
        torch.testing.assert_close(predict(backbone), before, rtol=1e-4, atol=1e-5)
    assert tuple(sites) == backbone.attention_sites()


def test_an_edit_that_gives_nothing_leaves_every_bit(backbone):
    before = predict(backbone)
    with backbone.edit_attention(lambda inputs: None):
        assert torch.equal(predict(backbone), before)


def test_rows_with_and_without_the_positive_conditioning_are_edited_apart(backbone):
    before, rows = predict(backbone, [True, False]), []

    def edit(inputs):
        rows.append((len(inputs.call.query), inputs.conditional))
        return torch.zeros_like(inputs.call.query) if inputs.conditional else None

    with backbone.edit_attention(edit):
        after = predict(backbone, [True, False])
    assert set(rows) == {(1, True), (1, False)}
    assert not torch.equal(after[0], before[0])
    torch.testing.assert_close(after[1], before[1])


def test_edits_are_gone_afterwards_also_after_an_error(backbone):
    before = predict(backbone)

    def fail(inputs):
        raise KeyError("stop")

    with pytest.raises(KeyError), backbone.edit_attention(fail):
        predict(backbone)
    assert torch.equal(predict(backbone), before)


def test_only_the_chosen_sites_are_edited(backbone):
    chosen, seen = backbone.attention_sites()[1:2], []
    with backbone.edit_attention(lambda inputs: seen.append(inputs.call.site), chosen):
        predict(backbone)
    assert tuple(seen) == chosen


def test_a_joint_layer_says_which_rows_are_the_pictures(transformer_backbone):
    calls = []
    with transformer_backbone.edit_attention(lambda inputs: calls.append(inputs.call)):
        predict(transformer_backbone)
    for call in calls:
        assert call.grid == (6, 10) and call.columns == slice(call.key.shape[2] - 60, call.key.shape[2])
        assert call.query.shape[2] == call.key.shape[2]
