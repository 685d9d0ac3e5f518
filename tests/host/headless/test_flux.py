"""The Flux transformer behind a headless backbone."""

import pytest
import torch

from concept_atelier.core.attention.probabilities import call_mean
from concept_atelier.core.backbone import Conditioning
from concept_atelier.core.sampling import ddim
from concept_atelier.core.types import ConceptTokens, Erasure, LowRank
from concept_atelier.host.adapters import backbone_of, with_adapter, with_erasure
from concept_atelier.host.headless.flux import ENTRY_NAMES, TEXT_ENTRY, find_joint_sites, picture_positions, velocity
from concept_atelier.host.headless.sampling import sample
from concept_atelier.host.shared.conditioning import to_comfy
from concept_atelier.host.shared.weights.weight_patches import WeightPatch
from concept_atelier.lab.model.handles import transformer_handles
from concept_atelier.lab.model.transformer import TRANSFORMER_CONFIG, build_transformer

SMALL = {
    **TRANSFORMER_CONFIG,
    "num_layers": 1,
    "num_single_layers": 2,
    "attention_head_dim": 12,
    "num_attention_heads": 2,
    "axes_dims_rope": (4, 4, 4),
}


@pytest.fixture(scope="module")
def parts(lab_modules):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        transformer = build_transformer(SMALL).eval().requires_grad_(False)
        for parameter in transformer.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)  # nothing is left at zero
        return transformer_handles(transformer, lab_modules)


@pytest.fixture(scope="module")
def backbone(parts):
    return backbone_of(*parts)


@pytest.fixture
def asked(backbone):
    """Latents that are not square, timesteps and texts of two rows."""
    latent = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(1))
    return latent, torch.tensor([700, 700]), backbone.encode_text(["a cat", "a blue crab on white"])


def test_the_noise_is_what_the_velocity_says(backbone, asked):
    latent, timestep, text = asked
    share = backbone.schedule.sigmas[timestep]
    speed = velocity(backbone.model.unet, latent, share, text.context)
    torch.testing.assert_close(backbone.predict_target(latent, timestep, text), speed)
    noise = backbone.predict_noise(latent, timestep, text)
    clean = backbone.schedule.clean_from_noise(noise, latent, timestep)
    torch.testing.assert_close(noise - clean, speed, rtol=1e-4, atol=1e-4)


def test_taps_hand_out_two_views_of_one_softmax_and_change_nothing(backbone, asked):
    calls = []
    before = backbone.predict_noise(*asked)
    with backbone.tap_attention(calls.append):
        assert torch.equal(backbone.predict_noise(*asked), before)
    assert [(call.site.name, call.kind) for call in calls] == [
        (site.name, kind) for site in find_joint_sites(backbone.model.unet) for kind in ("cross", "self")
    ]
    for text, picture in zip(calls[::2], calls[1::2], strict=True):
        maps = call_mean(text), call_mean(picture)
        assert maps[0].shape == (2, 30, 77) and maps[1].shape == (2, 30, 30) and text.grid == (6, 5)
        torch.testing.assert_close(maps[0].sum(-1) + maps[1].sum(-1), torch.ones(2, 30))


def test_queries_and_keys_give_the_layer_back(backbone, asked):
    """The values of a layer, weighted by the maps of its calls, are what it puts out before its last projection."""
    calls, seen = [], {}
    layer = backbone.model.unet.single_transformer_blocks[1].attn
    hooks = [
        layer.to_v.register_forward_hook(lambda _, __, output: seen.update(value=output)),
        layer.register_forward_hook(lambda _, __, output: seen.update(output=output)),
    ]
    site = next(site for site in backbone.attention_sites() if site.name == "single_transformer_blocks.1.attn")
    with backbone.tap_attention(calls.append, [site]):
        backbone.predict_noise(*asked)
    for hook in hooks:
        hook.remove()
    call = calls[0]
    weights = (call.query @ call.key.transpose(-1, -2) * call.scale).softmax(-1)  # (B, heads, h * w, M)
    value = seen["value"].unflatten(-1, (2, -1)).transpose(1, 2)
    torch.testing.assert_close((weights @ value).transpose(1, 2).flatten(2), seen["output"][:, 77:])


def test_a_changed_token_changes_its_keys_alone(backbone, asked):
    latent, timestep, text = asked
    other = text.context.clone()
    other[:, 40] += 1
    calls = []
    with backbone.tap_attention(calls.append, backbone.attention_sites()[:1]):
        backbone.predict_noise(latent, timestep, text)
        backbone.predict_noise(latent, timestep, Conditioning(other))
    change = (calls[0].key - calls[2].key).abs().amax((0, 1, 3))  # (M,) of the first layer
    assert change[40] > 1e-3 and change[:40].max() < 1e-6 and change[41:].max() < 1e-6


def test_hooks_are_gone_after_an_error(backbone, asked):
    def fail(call):
        raise RuntimeError("stop")

    before = backbone.predict_noise(*asked)
    with pytest.raises(RuntimeError, match="stop"), backbone.tap_attention(fail):
        backbone.predict_noise(*asked)
    assert torch.equal(backbone.predict_noise(*asked), before)


def test_gradients_reach_the_text(backbone, asked):
    latent, timestep, text = asked
    context = text.context[:1].clone().requires_grad_()
    direction = torch.randn_like(context)

    def loss(moved):
        return backbone.predict_target(latent[:1], timestep[:1], Conditioning(moved)).square().mean()

    loss(context).backward()
    slope = (context.grad * direction).sum()
    with torch.no_grad():
        finite = (loss(context + 1e-2 * direction) - loss(context - 1e-2 * direction)) / 2e-2
    assert float(slope) == pytest.approx(float(finite), rel=0.05)


def test_weights_are_adapted_for_a_while_and_zeros_change_nothing(backbone, asked):
    before = backbone.predict_noise(*asked)
    weight = backbone.attention_weights()[0]
    rows, columns = weight.shape
    zero = LowRank(torch.zeros(rows, 1), torch.ones(1, columns))
    with backbone.adapted({weight.name: zero}):
        assert torch.equal(backbone.predict_noise(*asked), before)
    with backbone.adapted({weight.name: LowRank(torch.ones(rows, 1), torch.ones(1, columns))}):
        assert not torch.allclose(backbone.predict_noise(*asked), before)
    assert torch.equal(backbone.predict_noise(*asked), before)
    with backbone.adapted({TEXT_ENTRY: LowRank(torch.zeros(24, 1), torch.ones(1, 192))}):
        assert torch.equal(backbone.predict_noise(*asked), before)
    with backbone.adapted({TEXT_ENTRY: LowRank(torch.arange(24.0)[:, None], torch.ones(1, 192))}):
        assert not torch.allclose(backbone.predict_noise(*asked), before)


def test_the_text_entry_is_one_weight_that_a_patch_changes(parts, backbone):
    (entry,) = backbone.key_value_weights()
    assert entry.name == TEXT_ENTRY and entry.weight.shape == (24, 192)
    model, clip, vae = parts
    ones = LowRank(torch.ones(24, 1), torch.ones(1, 192))
    patched = backbone_of(model.with_patch(WeightPatch({ENTRY_NAMES[TEXT_ENTRY]: ones}, 1.0)), clip, vae)
    torch.testing.assert_close(patched.key_value_weights()[0].weight, entry.weight + 1)
    for changed in (
        with_adapter(model, ConceptTokens({}, model.family, adapter={TEXT_ENTRY: ones})),
        with_erasure(model, Erasure({TEXT_ENTRY: ones}, 1.0, model.family)),
    ):
        torch.testing.assert_close(backbone_of(changed).key_value_weights()[0].weight, entry.weight + 1)


def test_both_samplers_walk_the_same_way(parts, backbone):
    """``ddim`` along a flow is Euler's method: with the levels of its timesteps, it does what KSampler does."""
    text, empty = backbone.encode_text(["a cat"]), backbone.encode_text([""])
    ours = ddim(backbone, text, empty, (4, 6), steps=4, guidance=2.0, seed=5)
    latent = {"samples": torch.zeros(1, 4, 4, 6)}
    theirs = [
        sample(parts[0], to_comfy(text), to_comfy(empty), latent, seed=5, steps=4, cfg=2.0, scheduler="simple")
        for _ in range(2)
    ]
    assert torch.equal(theirs[0]["samples"], theirs[1]["samples"])
    drawn = theirs[0]["samples"] * parts[0].scaling_factor
    assert torch.nn.functional.cosine_similarity(drawn.flatten(), ours.flatten(), 0) > 0.99


@pytest.mark.parametrize("name", ["euler", "euler_ancestral"])
def test_part_of_the_way_keeps_the_picture(parts, backbone, name):
    text = to_comfy(backbone.encode_text(["a cat"]))
    latent = {"samples": torch.randn(1, 4, 4, 4) / parts[0].scaling_factor}
    drawn = sample(parts[0], text, text, latent, seed=1, steps=3, cfg=1.0, sampler_name=name, denoise=0.05)
    kept = torch.nn.functional.cosine_similarity(drawn["samples"].flatten(), latent["samples"].flatten(), 0)
    assert bool(torch.isfinite(drawn["samples"]).all()) and kept > 0.9


def test_texts_of_different_length_are_two_passes(parts, backbone):
    long = to_comfy(backbone.encode_text(["a cat " * 60]))
    short = to_comfy(backbone.encode_text(["a dog"]))
    drawn = sample(parts[0], long, short, {"samples": torch.zeros(1, 4, 4, 4)}, seed=1, steps=2, cfg=2.0)
    assert bool(torch.isfinite(drawn["samples"]).all())


def test_positions_are_rows_and_columns():
    assert picture_positions(2, 3, torch.device("cpu")).tolist()[4] == [0, 1, 1]


def test_learning_in_less_memory_gives_the_same_gradients_and_calls_taps_once(parts, asked):
    latent, timestep, text = asked
    found = []
    for choice in ("off", "on"):
        backbone, calls = backbone_of(*parts), []
        backbone.recomputation.choice = choice
        context = text.context.clone().requires_grad_()
        with backbone.tap_attention(calls.append):
            backbone.predict_target(latent, timestep, Conditioning(context)).square().mean().backward()
        found.append((context.grad, len(calls)))
    torch.testing.assert_close(found[0][0], found[1][0])
    assert found[0][1] == found[1][1] == 6
