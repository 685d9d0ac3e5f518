"""The lab's transformer as ComfyUI's own FLUX.1 class, at tiny width and random weights."""

import pytest
import torch

SMALL = {
    "num_layers": 1,
    "num_single_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "axes_dims_rope": (4, 6, 6),
}


@pytest.fixture(scope="module")
def both(pack):
    """The same weights in both hosts: a MODEL of the headless runner and one of ComfyUI's."""
    lab = pack("lab.model.transformer")
    config = {**lab.TRANSFORMER_CONFIG, **SMALL}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        transformer = lab.build_transformer(config).eval().requires_grad_(False)
        for name, parameter in transformer.named_parameters():
            if not name.startswith(lab.POOLED):
                parameter.add_(torch.randn_like(parameter), alpha=0.1)  # nothing is left at zero
    modules = pack("lab.model.modules").build_modules(seed=1)
    headless = pack("lab.model.handles").transformer_handles(transformer, modules)[0]
    state = pack("lab.model.convert").transformer_to_flux(transformer.state_dict())
    return headless, pack("lab.model.comfy_native").native_transformer(state, config)


def test_both_classes_predict_the_same(both, pack):
    headless, native = both
    latent, context = torch.randn(2, 4, 6, 5), torch.randn(2, 77, 192)
    level = torch.tensor([0.3, 0.97])
    with torch.no_grad():
        ours = pack("host.headless.flux").velocity(headless.unet, latent, level, context)
        theirs = native.model.diffusion_model(latent, level, context)
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)
    assert ours.std() > 0.1


def test_both_have_the_same_levels_of_noise(both, pack):
    headless, native = both
    table = native.get_model_object("model_sampling").sigmas
    torch.testing.assert_close(headless.flow_sigmas.float(), table, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scheduler", ["normal", "simple", "karras"])
@pytest.mark.parametrize(("sampler", "denoise"), [("euler", 1.0), ("euler_ancestral", 1.0), ("euler", 0.6)])
def test_ksampler_gives_what_the_headless_one_gives(both, stock, pack, scheduler, sampler, denoise):
    headless, native = both
    texts = [[[torch.randn(1, 77, 192, generator=torch.Generator().manual_seed(seed)), {}]] for seed in (1, 2)]
    latent = {"samples": torch.randn(1, 4, 6, 5, generator=torch.Generator().manual_seed(3))}
    asked = {"seed": 7, "steps": 4, "cfg": 2.0, "sampler_name": sampler, "scheduler": scheduler, "denoise": denoise}
    ours = pack("host.headless.sampling").sample(headless, *texts, latent, **asked)["samples"]
    given = {"model": native, "positive": texts[0], "negative": texts[1], "latent_image": latent}
    theirs = stock("KSampler", **given, **asked)[0]["samples"]
    torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-3)


def test_attention_is_the_same_in_both_hosts(both, pack):
    backbone_of, call_mean = pack("host.adapters").backbone_of, pack("core.attention.probabilities").call_mean
    context = pack("core.backbone").Conditioning(torch.randn(1, 77, 192))
    latent, timestep = torch.randn(1, 4, 6, 5), torch.tensor([600])
    maps = []
    for model in both:
        backbone, calls = backbone_of(model), []
        with torch.no_grad(), backbone.tap_attention(calls.append):
            noise = backbone.predict_noise(latent, timestep, context)
        maps.append([noise, *(call_mean(call) for call in calls)])
        assert backbone.family == "lab_flux" and [call.kind for call in calls] == ["cross", "self"] * 3
    for ours, theirs in zip(*maps, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


def test_both_hosts_see_the_same_concepts_beside_the_lab_transformer(both, pack):
    module, backbone_of = pack("core.attribute.concept_attention"), pack("host.adapters").backbone_of
    text = pack("core.backbone").Conditioning(torch.randn(1, 77, 192, generator=torch.Generator().manual_seed(1)))
    rows = module.ConceptRows(torch.randn(4, 192, generator=torch.Generator().manual_seed(2)), (1, 2, 1))
    latent = torch.randn(1, 4, 6, 5, generator=torch.Generator().manual_seed(3))
    calls = []
    for model in both:
        backbone = backbone_of(model)
        assert backbone.default_sites() == backbone.attention_sites()
        assert backbone.default_sites("self") == backbone.attention_sites()[-1:]
        seen = []
        with torch.no_grad(), backbone.tap_concepts(seen.append, rows, backbone.attention_sites()):
            backbone.predict_noise(latent, torch.tensor([600]), text)
        calls.append(seen)
    assert len(calls[0]) == 3
    for ours, theirs in zip(*calls, strict=True):
        torch.testing.assert_close(theirs.picture, ours.picture, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(theirs.concepts, ours.concepts, rtol=1e-4, atol=1e-5)


def test_missing_weights_are_named(pack, tmp_path):
    folder = pack("lab.model.weights").WEIGHTS
    if (folder / pack("lab.model.transformer").TRANSFORMER_FILE).exists():
        pytest.skip("this version ships them")
    with pytest.raises(FileNotFoundError, match="lab train transformer"):
        pack("lab.model.comfy_native").load_native(denoiser="transformer")
