"""Trainable low-rank changes of attention weights through ComfyUI's weight wrappers."""

import pytest
import torch

LATENT = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(0))
TIMESTEP = torch.tensor([5, 800])


@pytest.fixture(scope="module")
def headless(pack):
    """The lab model over diffusers and transformers."""
    return pack("host.adapters").backbone_of(*pack("lab.model.handles").load_handles())


@pytest.fixture
def native(pack, parts_of):
    backbone = pack("host.adapters").backbone_of(**parts_of("lab"))
    yield backbone
    backbone.close()


@pytest.fixture
def conditioning(headless):
    with torch.no_grad():
        return headless.encode_text(["a photo of a cat", ""])


@pytest.fixture
def changes(headless, pack):
    """Of one weight in each role and kind: leaves that gradients are taken for."""
    generator, low_rank = torch.Generator().manual_seed(3), pack("core.types").LowRank

    def leaf(*shape):
        return (0.05 * torch.randn(shape, generator=generator)).requires_grad_()

    weights = {(w.kind, w.role): w for w in headless.attention_weights()}
    return {w.name: low_rank(leaf(w.shape[0], 2), leaf(2, w.shape[1])) for w in weights.values()}


def test_weights_are_those_of_the_diffusers_backbone(native, headless):
    assert native.attention_weights() == headless.attention_weights()


@pytest.mark.parametrize("family", ["sd15", "sd2", "sdxl"])
def test_every_site_has_its_four_weights(pack, parts_of, family):
    backbone = pack("host.adapters").backbone_of(model=parts_of(family)["model"])
    weights, sites = backbone.attention_weights(), backbone.attention_sites()
    assert [w.role for w in weights] == ["query", "key", "value", "out"] * len(sites)
    assert [w.kind for w in weights[::4]] == [site.kind for site in sites]


def test_predictions_and_gradients_are_those_of_the_diffusers_backbone(native, headless, conditioning, changes):
    leaves = [half for factor in changes.values() for half in (factor.up, factor.down)]
    answers = []
    for backbone in (native, headless):
        with backbone.adapted(changes):
            noise = backbone.predict_noise(LATENT, TIMESTEP, conditioning)
        answers.append((noise, torch.autograd.grad((noise - LATENT).square().mean(), leaves)))
    (ours, slopes), (theirs, expected) = answers
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * float(theirs.detach().abs().max()))
    for one, other in zip(slopes, expected, strict=True):
        assert other.abs().sum() > 0
        torch.testing.assert_close(one, other, rtol=0, atol=1e-3 * float(other.abs().max()))
    with torch.no_grad():
        assert not torch.allclose(native.predict_noise(LATENT, TIMESTEP, conditioning), ours, atol=1e-3)


def test_under_inference_mode_too_and_zero_factors_change_no_bit(native, conditioning, changes, pack):
    low_rank = pack("core.types").LowRank
    with torch.inference_mode():
        plain = native.predict_noise(LATENT, TIMESTEP, conditioning)
        with native.adapted({name: low_rank(0 * f.up, f.down) for name, f in changes.items()}):
            assert native.predict_noise(LATENT, TIMESTEP, conditioning).equal(plain)
        with native.adapted(changes):
            assert not torch.allclose(native.predict_noise(LATENT, TIMESTEP, conditioning), plain, atol=1e-3)


def test_nothing_is_left_after_an_exception(native, parts_of, conditioning, changes):
    parts = parts_of("lab")
    before = {key: value.clone() for key, value in parts["model"].model.state_dict().items()}
    with torch.no_grad():
        plain = native.predict_noise(LATENT, TIMESTEP, conditioning)
    with pytest.raises(RuntimeError, match="stop"), native.adapted(changes):
        native.predict_noise(LATENT, TIMESTEP, conditioning).sum().backward()
        raise RuntimeError("stop")
    native.close()
    assert all(value.equal(before[key]) for key, value in parts["model"].model.state_dict().items())
    layers = [module for module in parts["model"].model.modules() if hasattr(module, "weight_function")]
    assert layers and all(not layer.weight_function for layer in layers)
    with torch.no_grad():
        assert native.predict_noise(LATENT, TIMESTEP, conditioning).equal(plain)


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
def test_on_a_model_and_from_its_file_it_is_the_same(pack, parts_of, run, stock, sample, family):
    """Bypass is an exact undo; the file in the stock loader draws what the tuned MODEL draws, to the bit."""
    parts, types = parts_of(family), pack("core.types")
    generator, factors = torch.Generator().manual_seed(4), {}
    for weight in pack("host.adapters").backbone_of(model=parts["model"]).attention_weights()[::3]:
        up, down = (
            torch.randn(weight.shape[0], 2, generator=generator),
            torch.randn(2, weight.shape[1], generator=generator),
        )
        factors[weight.name] = types.LowRank(0.05 * up, down)
    tokens = types.ConceptTokens({}, family, adapter=factors)
    plain = sample(parts, parts["model"])
    tuned = pack("host.adapters").with_adapter(parts["model"], tokens)
    drawn = sample(parts, tuned)
    assert (drawn - plain).abs().max() > 1e-3 * plain.abs().max()
    assert sample(parts, parts["model"]).equal(plain)
    (name,) = run("SaveAdapterAsLora", tokens=tokens, name=f"atelier/{family}")
    loaded = stock("LoraLoaderModelOnly", model=parts["model"], lora_name=name, strength_model=1.0)[0]
    assert sample(parts, loaded).equal(drawn)


def test_tokens_of_another_model_are_refused(pack, parts_of):
    types = pack("core.types")
    factor = types.LowRank(torch.zeros(8, 1), torch.zeros(1, 8))
    tokens = types.ConceptTokens({}, "sdxl", adapter={"nowhere.attn2.to_k.weight": factor})
    with pytest.raises(ValueError, match=r"learnt on another model \(sdxl\): this one has no nowhere"):
        pack("host.adapters").with_adapter(parts_of("sd15")["model"], tokens)
