"""LoRAs that act in the region of one concept alone."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.attention.probabilities import attend
from concept_atelier.core.backbone import AttentionInputs, EditedOutput
from concept_atelier.core.compose.composer import share_of
from concept_atelier.core.compose.composition import Concept, compose
from concept_atelier.core.compose.parts.adapters import added, entries, read_adapter
from concept_atelier.core.compose.registry import METHODS
from concept_atelier.core.files import adapter_tensors
from concept_atelier.core.sampling import unconditional
from concept_atelier.core.types import ConceptTokens, LowRank

LEFT = torch.zeros(8, 8)
LEFT[:, :4] = 1


def tokens_of(backbone, rank, seed=0, part=lambda weight: True):
    """Tokens with a random change of attention weights."""
    draw = torch.Generator().manual_seed(seed)
    factors = {
        one.name: LowRank(
            torch.randn(one.shape[0], rank, generator=draw), torch.randn(rank, one.shape[1], generator=draw) / 9
        )
        for one in backbone.attention_weights()
        if part(one)
    }
    vectors = {"it": {name: torch.zeros(1, width) for name, width in backbone.text_widths.items()}}
    return ConceptTokens(vectors, backbone.family, adapter=factors)


def adapter_of(backbone, rank, part=lambda weight: True):
    return read_adapter(backbone, adapter_tensors(tokens_of(backbone, rank, rank, part))[0], 1.0, "it").changes


def rows_of(found):
    """(B, N, C) of an edited layer, as the projection behind it would see it, and what is added behind that."""
    heads = found.heads.transpose(1, 2).flatten(2)
    return torch.cat([heads, torch.zeros_like(heads) if found.behind is None else found.behind], dim=-1)


def layers(backbone, adapters=({}, {}), masks=(LEFT, 1 - LEFT), said=True):
    """Each attention layer's output under the method, by name, and what the model's own layer computes."""
    texts = ("a cat", "a rocket")
    concepts = [Concept(text, mask, adapter=one) for text, mask, one in zip(texts, masks, adapters, strict=True)]
    composition = compose(backbone, "a cat and a rocket", concepts)
    composer = METHODS["attention_couple"]
    run = composer.begin(composition, composer.preset("paper"), share_of(backbone.schedule.steps))
    seen = {}

    def edit(inputs: AttentionInputs):
        call = replace(inputs.call, conditional=(said,) * len(inputs.call.query))
        found = run.edit(replace(inputs, call=call))  # beside the model: every layer has the same rows
        own = EditedOutput(attend(call.query, call.key, inputs.value, call.scale))
        seen[call.site.name] = (call.site.kind, rows_of(own if found is None else EditedOutput.of(found)))

    latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), backbone.edit_attention(edit):
        backbone.predict_noise(latent, torch.tensor([500]), composition.conditioning)
    return seen


@pytest.mark.parametrize("kind", ["self", "cross"])
@pytest.mark.parametrize("role", ["query", "key", "value", "out"])
def test_outside_its_region_a_lora_changes_no_bit_of_a_layer(lab_backbone, kind, role):
    part = lambda weight: (weight.kind, weight.role) == (kind, role)  # noqa: E731
    first, second = (adapter_of(lab_backbone, rank, part) for rank in (2, 5))
    plain, one, both = layers(lab_backbone), layers(lab_backbone, (first, {})), layers(lab_backbone, (first, second))
    for name, (of, output) in plain.items():
        side = int((output.shape[1]) ** 0.5)
        left, right = (
            torch.stack([rows.unflatten(1, (side, side))[:, :, part] for rows in (output, one[name][1], both[name][1])])
            for part in (slice(0, side // 2), slice(side // 2, None))
        )
        assert torch.equal(right[0], right[1]) and torch.equal(left[1], left[2])
        assert torch.equal(left[0], left[1]) is torch.equal(right[1], right[2]) is (of != kind)


def test_without_the_positive_text_a_region_computes_with_its_lora_too(lab_backbone):
    part = lambda weight: weight.kind == "cross"  # noqa: E731
    plain, one = (
        layers(lab_backbone, said=False),
        layers(lab_backbone, (adapter_of(lab_backbone, 2, part), {}), said=False),
    )
    for name, (kind, output) in plain.items():
        side = int((output.shape[1]) ** 0.5)
        before, after = (rows.unflatten(1, (side, side)) for rows in (output, one[name][1]))
        assert torch.equal(before[:, :, side // 2 :], after[:, :, side // 2 :])
        assert torch.equal(before[:, :, : side // 2], after[:, :, : side // 2]) is (kind == "self")


def test_a_region_of_the_whole_picture_is_the_changed_model(lab_backbone):
    """One region everywhere that reads nothing of the prompt: what the model with the LoRA predicts for its text."""
    tokens = tokens_of(lab_backbone, 3)
    adapter = read_adapter(lab_backbone, adapter_tensors(tokens)[0], 1.0, "it").changes
    composition = compose(lab_backbone, "a rocket", [Concept("a cat", torch.ones(8, 8), adapter=adapter)])
    composer = METHODS["lora_composer"]
    settings = replace(composer.preset("paper"), guidance=0.0, renew=False)
    latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    time, text = torch.tensor([500]), lab_backbone.encode_text(["a cat"])
    run = composer.begin(composition, settings, share_of(lab_backbone.schedule.steps))
    with torch.no_grad():
        with lab_backbone.edit_attention(run.edit):
            ours = lab_backbone.predict_noise(latent, time, composition.conditioning)
        with lab_backbone.edit_attention(unconditional(run.edit)):
            negative = lab_backbone.predict_noise(latent, time, text)
        with lab_backbone.adapted(tokens.adapter):
            theirs = lab_backbone.predict_noise(latent, time, text)
        plain = lab_backbone.predict_noise(latent, time, text)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(negative, theirs, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(theirs, plain, rtol=1e-2, atol=1e-3)


def test_in_its_own_pass_a_concept_is_drawn_by_the_changed_model(lab_backbone):
    """Concept Conductor: one mask over the whole picture puts the branch's decoder into the prompt's pass."""
    part = lambda weight: weight.name.startswith("up_blocks")  # noqa: E731
    tokens = tokens_of(lab_backbone, 3, part=part)
    adapter = read_adapter(lab_backbone, adapter_tensors(tokens)[0], 1.0, "it").changes
    whole = Concept("a cat", torch.ones(8, 8), adapter=adapter)
    composition = compose(lab_backbone, "a cat", [whole], branches=True)
    composer = METHODS["concept_conductor"]
    settings = replace(composer.preset("paper"), layout=0.0, refine_until=0.0)
    run = composer.begin(composition, settings, share_of(lab_backbone.schedule.steps))
    latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    time, text = torch.tensor([500]), lab_backbone.encode_text(["a cat"])
    with torch.no_grad():
        run.before(lab_backbone, latent, time)
        with lab_backbone.edit_attention(run.edit):
            ours = lab_backbone.predict_noise(latent, time, composition.conditioning)
        with lab_backbone.adapted(tokens.adapter):
            theirs = lab_backbone.predict_noise(latent, time, text)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


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


def test_a_regions_own_text_is_encoded_with_its_loras_text_encoder(lab_backbone):
    weight = next(one for one in lab_backbone.text_weights() if one.name.endswith("fc1.weight"))
    rows, columns = weight.weight.shape
    draw = torch.Generator().manual_seed(3)
    up, down = torch.randn(rows, 2, generator=draw), torch.randn(2, columns, generator=draw)
    base = f"lora_te_text_model_{weight.name.removesuffix('.weight').replace('.', '_')}"
    file = {f"{base}.lora_up.weight": up, f"{base}.lora_down.weight": down, f"{base}.alpha": torch.tensor(1.0)}
    adapter = read_adapter(lab_backbone, file, 0.5, "it")
    assert not adapter.changes and adapter.left_out == ""
    concepts = [Concept("a cat", LEFT, text_changes=adapter.text), Concept("a rocket", 1 - LEFT)]
    composition = compose(lab_backbone, "a cat and a rocket", concepts)
    plain = compose(lab_backbone, "a cat and a rocket", [Concept("a cat", LEFT), Concept("a rocket", 1 - LEFT)])
    with lab_backbone.text_changed({weight.encoder: {weight.name: LowRank(up, down * 0.25)}}):
        own = lab_backbone.encode_text(["a cat"]).context
    first, ours, theirs = composition.regions[0].columns, composition.conditioning.context, plain.conditioning.context
    torch.testing.assert_close(ours[:, first], own)
    assert not torch.allclose(ours[:, first], theirs[:, first], atol=1e-3)
    assert torch.equal(ours[:, : first.start], theirs[:, : first.start])
    assert torch.equal(ours[:, first.stop :], theirs[:, first.stop :])
    assert read_adapter(lab_backbone, file, 0.0, "it").text == {}


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
    more = {f"{block}{layer}.{end}": torch.ones(1) for layer in ("ff_net_2", "ff_net_0_proj") for end in ("alpha", "x")}
    more |= {"lora_te_layer.alpha": torch.ones(1), "own": torch.ones(1)}  # no layer of this text encoder
    found = read_adapter(lab_backbone, tensors | more, 1.0, "it.safetensors")
    assert set(found.changes) == set(plain.changes)
    assert "Of it.safetensors, 4 weights are left out" in found.left_out
    assert "text encoder (1), other layers (3)" in found.left_out


def test_what_cannot_be_kept_to_a_region_is_refused(lab_backbone):
    tensors = adapter_tensors(tokens_of(lab_backbone, 2))[0]
    with pytest.raises(ValueError, match="changes no layer of this model"):
        read_adapter(lab_backbone, {"lora_te_text_model.alpha": torch.tensor(1.0)}, 1.0, "it")
    name = next(key for key in tensors if key.endswith("lora_up.weight"))
    with pytest.raises(ValueError, match="another model"):
        read_adapter(lab_backbone, tensors | {name: torch.zeros(3, 2)}, 1.0, "it")
