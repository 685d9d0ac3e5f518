"""LoRAs that act in the region of one concept alone."""

import pytest
import torch

from concept_atelier.core.backbone import AttentionInputs
from concept_atelier.core.compose.composer import share_of
from concept_atelier.core.compose.composition import Concept, compose
from concept_atelier.core.compose.parts.adapters import added, entries, read_adapter
from concept_atelier.core.compose.registry import METHODS
from concept_atelier.core.files import adapter_tensors
from concept_atelier.core.types import ConceptTokens, LowRank

LEFT = torch.zeros(8, 8)
LEFT[:, :4] = 1


def tokens_of(backbone, rank, seed=0, names=None):
    """Tokens with a random change of the weights by which text enters."""
    draw = torch.Generator().manual_seed(seed)
    weights = [weight for weight in backbone.key_value_weights() if names is None or weight.name in names]
    factors = {
        one.name: LowRank(
            torch.randn(len(one.weight), rank, generator=draw),
            torch.randn(rank, one.weight.shape[1], generator=draw) / 9,
        )
        for one in weights
    }
    vectors = {"it": {name: torch.zeros(1, width) for name, width in backbone.text_widths.items()}}
    return ConceptTokens(vectors, backbone.family, adapter=factors)


def layers(backbone, adapters=({}, {}), masks=(LEFT, 1 - LEFT)):
    """Each cross-attention layer's output under the method, by name."""
    texts = ("a cat", "a rocket")
    concepts = [Concept(text, mask, adapter=one) for text, mask, one in zip(texts, masks, adapters, strict=True)]
    composition = compose(backbone, "a cat and a rocket", concepts)
    composer = METHODS["attention_couple"]
    run = composer.begin(composition, composer.preset("paper"), share_of(backbone.schedule.steps))
    seen = {}

    def edit(inputs: AttentionInputs):
        if inputs.call.site.kind == "cross":
            seen[inputs.call.site.name] = run.edit(inputs)  # beside the model: every layer has the same queries

    latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), backbone.edit_attention(edit):
        backbone.predict_noise(latent, torch.tensor([500]), composition.conditioning)
    return seen


def test_outside_its_region_a_lora_changes_no_bit_of_a_layer(lab_backbone):
    first, second = (
        read_adapter(lab_backbone, adapter_tensors(tokens_of(lab_backbone, rank, rank))[0], 1.0, "it").changes
        for rank in (2, 5)
    )
    plain, one, both = layers(lab_backbone), layers(lab_backbone, (first, {})), layers(lab_backbone, (first, second))
    for name, output in plain.items():
        side = int((output.shape[2]) ** 0.5)
        left, right = (
            torch.stack([grid.unflatten(2, (side, side))[..., part, :] for grid in (output, one[name], both[name])])
            for part in (slice(0, side // 2), slice(side // 2, None))
        )
        assert torch.equal(right[0], right[1]) and not torch.equal(left[0], left[1])
        assert torch.equal(left[1], left[2]) and not torch.equal(right[1], right[2])


def test_inside_its_region_the_text_is_read_by_the_changed_weights(lab_backbone):
    """One region over the whole picture without a share of the prompt: what the changed model would compute."""
    tokens = tokens_of(lab_backbone, 3)
    adapter = read_adapter(lab_backbone, adapter_tensors(tokens)[0], 1.0, "it").changes
    weight = lab_backbone.key_value_weights()[0]
    context = lab_backbone.encode_text(["a cat"]).context
    heads = next(site.heads for site in lab_backbone.attention_sites() if site.kind == "cross")
    plain = context @ weight.weight.T
    changed = context @ (weight.weight + tokens.adapter[weight.name].dense()).T
    like = plain.unflatten(-1, (heads, -1)).transpose(1, 2)
    ours = like + added(context, adapter[entries(lab_backbone)[weight.name]], like)
    torch.testing.assert_close(ours, changed.unflatten(-1, (heads, -1)).transpose(1, 2), rtol=1e-4, atol=1e-4)


def test_strength_scales_a_lora(lab_backbone):
    tensors = adapter_tensors(tokens_of(lab_backbone, 2))[0]
    whole, half = (read_adapter(lab_backbone, tensors, strength, "it").changes for strength in (1.0, 0.5))
    for place, change in whole.items():
        torch.testing.assert_close(half[place].dense(), change.dense() / 2)
    assert set(whole) == set(entries(lab_backbone).values())


def test_what_else_a_file_changes_is_left_out_and_named(lab_backbone):
    tensors = adapter_tensors(tokens_of(lab_backbone, 2))[0]
    plain = read_adapter(lab_backbone, tensors, 1.0, "it")
    assert plain.left_out == ""
    block = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_"
    more = {f"{block}{layer}.{end}": torch.ones(1) for layer in ("attn1_to_q", "attn1_to_k") for end in ("alpha", "x")}
    more |= {f"{block}attn2_to_out_0.alpha": torch.ones(1), "lora_te_layer.alpha": torch.ones(1), "own": torch.ones(1)}
    found = read_adapter(lab_backbone, tensors | more, 1.0, "it.safetensors")
    assert set(found.changes) == set(plain.changes)
    assert "Of it.safetensors, 5 weights are left out" in found.left_out
    assert "text encoder (1), self-attention (2), queries and outputs of cross-attention (1)" in found.left_out


def test_what_cannot_be_kept_to_a_region_is_refused(lab_backbone):
    tensors = adapter_tensors(tokens_of(lab_backbone, 2))[0]
    with pytest.raises(ValueError, match="changes no keys and values"):
        read_adapter(lab_backbone, {"lora_te_text_model.alpha": torch.tensor(1.0)}, 1.0, "it")
    name = next(key for key in tensors if key.endswith("lora_up.weight"))
    with pytest.raises(ValueError, match="another model"):
        read_adapter(lab_backbone, tensors | {name: torch.zeros(3, 2)}, 1.0, "it")
