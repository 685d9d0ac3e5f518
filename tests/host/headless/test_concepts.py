"""Concepts beside the text of the Flux transformer, headless."""

import pytest
import torch
from diffusers.models.embeddings import apply_rotary_emb

from concept_atelier.core.attribute.concept_attention import ConceptRows, ConceptSettings, concept_heatmaps
from concept_atelier.host.adapters import UnsupportedModelError, backbone_of


@pytest.fixture(scope="module")
def backbone(lab_transformer):
    return backbone_of(*lab_transformer)


@pytest.fixture
def asked(backbone):
    latent = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(1))
    return latent, torch.tensor([700, 700]), backbone.encode_text(["a cat", "a blue crab on white"])


def rows(seed=2, count=3):
    return ConceptRows(torch.randn(count, 192, generator=torch.Generator().manual_seed(seed)), (1,) * count)


def beside(backbone, asked, concepts):
    """Every call of a pass, and what the model predicts."""
    calls = []
    with torch.no_grad(), backbone.tap_concepts(calls.append, concepts, backbone.attention_sites()):
        return calls, backbone.predict_noise(*asked)


def test_concepts_change_neither_the_picture_nor_what_is_predicted(backbone, asked):
    plain = backbone.predict_noise(*asked)
    one, two = beside(backbone, asked, rows(2)), beside(backbone, asked, rows(7, 5))
    for calls, predicted in (one, two):
        torch.testing.assert_close(predicted, plain, rtol=1e-4, atol=1e-4)
        assert [call.site for call in calls] == list(backbone.attention_sites())
        assert all(call.picture.shape == (2, 30, 24) and call.grid == (6, 5) for call in calls)
    for ours, others in zip(one[0], two[0], strict=True):
        torch.testing.assert_close(ours.picture, others.picture, rtol=1e-4, atol=1e-4)
    assert torch.equal(backbone.predict_noise(*asked), plain)


def test_in_a_block_they_read_the_picture_and_one_another(backbone, asked):
    """Equation (1), from the first block's own queries, keys and values."""
    layer, seen = backbone.model.unet.transformer_blocks[0].attn, {}
    names = ("add_v_proj", "to_v", "norm_added_q", "norm_added_k", "norm_k")
    hooks = [
        getattr(layer, name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
        for name in names
    ]
    hooks.append(layer.register_forward_pre_hook(lambda _, __, kwargs: seen.update(kwargs), with_kwargs=True))
    concepts = rows()
    calls, _ = beside(backbone, asked, concepts)
    for hook in hooks:
        hook.remove()
    turn = seen["image_rotary_emb"]
    query, key, text_key = seen["norm_added_q"], seen["norm_k"], seen["norm_added_k"]
    both = torch.cat([text_key, key], 1)
    query = apply_rotary_emb(torch.cat([query, key], 1), turn, sequence_dim=1)[:, 77:80].transpose(1, 2)
    key = apply_rotary_emb(both, turn, sequence_dim=1)[:, 77:].transpose(1, 2)
    value = torch.cat([seen["add_v_proj"][:, 77:], seen["to_v"]], 1).unflatten(-1, (2, 12)).transpose(1, 2)
    expected = ((query @ key.transpose(-1, -2) / 12**0.5).softmax(-1) @ value).transpose(1, 2).flatten(2)
    torch.testing.assert_close(calls[0].concepts, expected, rtol=1e-4, atol=1e-5)


def test_a_token_of_the_prompt_as_a_concept_lacks_only_the_rest_of_the_prompt(backbone, asked):
    """Where text reads nothing but the picture and itself, a concept equal to the only token is that token."""
    latent, timestep, _ = asked
    word = rows(4, 1)
    text = type(asked[2])(word.rows.expand(2, -1, -1))
    seen = []
    hooks = [
        block.attn.to_add_out.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        for block in backbone.model.unet.transformer_blocks
    ]
    calls, _ = beside(backbone, (latent, timestep, text), word)
    for hook in hooks:
        hook.remove()
    assert len(seen) == 2
    for text_rows, call in zip(seen, calls, strict=False):
        torch.testing.assert_close(text_rows[:, :1], call.concepts, rtol=1e-4, atol=1e-5)


def test_hooks_are_gone_on_any_exit(backbone, asked):
    plain = backbone.predict_noise(*asked)
    with pytest.raises(KeyError), backbone.tap_concepts({}.pop, rows(), backbone.default_sites()):
        backbone.predict_noise(*asked)
    assert torch.equal(backbone.predict_noise(*asked), plain)


def test_maps_of_a_picture_and_of_equal_concepts(backbone):
    latent = torch.randn(1, 4, 6, 9, generator=torch.Generator().manual_seed(5))
    done = []
    settings = ConceptSettings(draws=2, temperature=2.0)
    names = ["cat", "red crab", "cat", "background"]
    maps = concept_heatmaps(
        backbone, latent, "a cat", names, settings, seed=3, on_step=lambda step, total: done.append((step, total))
    )
    assert maps.shape == (4, 6, 9) and done == [(0, 2), (1, 2), (2, 2)]
    torch.testing.assert_close(maps.sum(0), torch.ones(6, 9))
    torch.testing.assert_close(maps[0], maps[2], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(maps[0], maps[1], atol=1e-4)
    again = concept_heatmaps(backbone, latent, "a cat", names, settings, seed=3)
    assert torch.equal(maps, again)
    single = backbone.attention_sites()[-1:]
    assert not torch.equal(maps, concept_heatmaps(backbone, latent, "a cat", names, settings, sites=single, seed=3))


def test_the_pass_ends_behind_the_last_block_that_is_read(backbone):
    latent, ran = torch.randn(1, 4, 6, 5, generator=torch.Generator().manual_seed(5)), []
    blocks = [*backbone.model.unet.transformer_blocks, *backbone.model.unet.single_transformer_blocks]
    hooks = [
        block.register_forward_hook(lambda *_, number=number: ran.append(number)) for number, block in enumerate(blocks)
    ]
    concept_heatmaps(
        backbone, latent, "", ["cat", "dog"], ConceptSettings(draws=2), sites=backbone.attention_sites()[1:2]
    )
    for hook in hooks:
        hook.remove()
    assert ran == [0, 0]  # the second ends inside its attention


def test_a_unet_is_refused_by_name(lab_backbone):
    with pytest.raises(UnsupportedModelError, match=r"the lab model.*supported are the lab transformer, FLUX.1"):
        lab_backbone.tap_concepts(lambda call: None, rows(), ())
    assert lab_backbone.default_sites() == lab_backbone.attention_sites()
