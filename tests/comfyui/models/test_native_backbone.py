"""The backbone over ComfyUI's patchers: parity with the diffusers backbone, gradients, and leaving no trace."""

from types import SimpleNamespace

import pytest
import torch

LATENT = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(0))
TIMESTEP = torch.tensor([0, 999])
TEXTS = ["a photo of a cat, and the red rocket", ""]
EPS = 1e-5


@pytest.fixture(scope="module")
def headless(pack, backbone_of):
    """The lab model over diffusers and transformers."""
    return backbone_of(*pack("lab.model.handles").load_handles())


@pytest.fixture(scope="module")
def native(parts_of, backbone_of):
    return backbone_of(**parts_of("lab"))


def assert_near(got, expected, share=EPS):
    """Equal within a share of the largest value, which is not nothing."""
    assert expected.abs().max() > 0.05
    torch.testing.assert_close(got, expected, rtol=0, atol=share * expected.abs().max().item())


@torch.no_grad()
def test_conditioning_is_that_of_the_diffusers_backbone(native, headless):
    got, expected = native.encode_text(TEXTS), headless.encode_text(TEXTS)
    assert_near(got.context, expected.context)
    assert_near(got.extras["pooled_output"], expected.extras["pooled_output"])


@torch.no_grad()
@pytest.mark.parametrize(
    "text",
    [
        "a (cat:1.4) and ((dog)) on \\(blue\\)",
        "(<apple>:0.5), (a red <apple>:-1)",
        "embedding:only, (embedding:only:2)",
    ],
)
def test_weights_and_embeddings_mean_what_they_mean_there(pack, native, headless, text):
    vectors = {"clip_l": 0.1 * torch.randn(2, 192, generator=torch.Generator().manual_seed(1))}
    folders = pack("host.files.folders").current()
    pack("host.files.token_files").save(pack("core.types").ConceptTokens({"only": vectors}, "lab"), "", folders)
    given = {"<apple>": vectors}
    assert native.tokenize(text, given) == headless.tokenize(text, given)
    got, expected = native.encode_text([text], given), headless.encode_text([text], given)
    assert_near(got.context, expected.context)
    assert_near(got.extras["pooled_output"], expected.extras["pooled_output"])


@torch.no_grad()
def test_placeholders_stand_where_they_stand_there(native, headless):
    given = {"<apple>": {"clip_l": torch.randn(2, 192, generator=torch.Generator().manual_seed(1))}}
    text = "a photo of <apple>, 2 cats and <apple>"
    assert native.tokenize(text, given) == headless.tokenize(text, given)
    assert_near(native.encode_text([text], given).context, headless.encode_text([text], given).context)


@torch.no_grad()
def test_noise_is_that_of_the_diffusers_backbone(native, headless):
    conditioning = headless.encode_text(TEXTS)
    assert_near(
        native.predict_noise(LATENT, TIMESTEP, conditioning), headless.predict_noise(LATENT, TIMESTEP, conditioning)
    )


@torch.no_grad()
def test_pictures_words_and_noise_levels_are_those_of_the_diffusers_backbone(native, headless, image):
    picture = image.movedim(-1, 1)[..., :61, :]
    assert_near(native.encode_image(picture), headless.encode_image(picture))
    assert_near(native.decode_latent(LATENT), headless.decode_latent(LATENT))
    assert native.word_vectors("rocket")["clip_l"].equal(headless.word_vectors("rocket")["clip_l"])
    torch.testing.assert_close(native.alphas_cumprod.float(), headless.alphas_cumprod, rtol=1e-5, atol=0)
    assert (native.family, native.text_widths) == (headless.family, dict(headless.text_widths))


def test_sites_and_weights_are_those_of_the_diffusers_backbone(native, headless):
    ours, theirs = native.attention_sites(), headless.attention_sites()
    assert [(s.kind, s.stage, s.heads, s.downscale) for s in ours] == [
        (s.kind, s.stage, s.heads, s.downscale) for s in theirs
    ]
    for one, other in zip(native.key_value_weights(), headless.key_value_weights(), strict=True):
        assert (one.name, one.role) == (other.name, other.role) and one.weight.float().equal(other.weight)


@torch.no_grad()
def test_taps_hear_the_same_and_change_nothing(native, headless):
    conditioning, recorded = headless.encode_text(TEXTS), ([], [])
    expected = native.predict_noise(LATENT, torch.tensor([50, 50]), conditioning)
    for backbone, calls in zip((native, headless), recorded, strict=True):
        with backbone.tap_attention(calls.append):
            noise = backbone.predict_noise(LATENT, torch.tensor([50, 50]), conditioning)
        if backbone is native:
            assert noise.equal(expected)
    assert len(recorded[0]) == len(recorded[1]) == 20
    for one, other in zip(*recorded, strict=True):
        assert (one.grid, one.scale, one.conditional, one.timestep) == (
            other.grid,
            pytest.approx(other.scale),
            other.conditional,
            other.timestep,
        )
        assert_near(one.query, other.query, 3 * EPS)  # ten layers deep, the roundings of two implementations add up
        assert_near(one.key, other.key)


@torch.no_grad()
def test_a_pass_ends_where_the_last_layer_was_read(pack, parts, backbone_of, draw):
    run_to = pack("core.attention.ending").run_to
    before, state, backbone = draw(parts), state_of(parts), backbone_of(**parts)
    sites, conditioning, calls = backbone.attention_sites(), backbone.encode_text(TEXTS), []
    noise = backbone.predict_noise(LATENT, TIMESTEP, conditioning)
    taps = [backbone.tap_attention(lambda call, which=which: calls.append((which, call))) for which in (1, 2)]
    with taps[0], taps[1]:
        backbone.predict_noise(LATENT, TIMESTEP, conditioning)
        whole = list(calls)
        run_to(backbone, sites[4], LATENT, TIMESTEP, conditioning)
    ended = calls[len(whole) :]
    assert [(which, call.site) for which, call in ended] == [(which, site) for site in sites[:5] for which in (1, 2)]
    for (_, one), (_, other) in zip(whole, ended, strict=False):
        assert one.query.equal(other.query) and one.key.equal(other.key)
    assert backbone.predict_noise(LATENT, TIMESTEP, conditioning).equal(noise)
    assert_no_trace(parts, state)
    assert draw(parts).equal(before)


def test_gradients_are_those_of_the_diffusers_backbone(native, headless):
    gradients = []
    for backbone in (native, headless):
        vectors = torch.randn(1, 192, generator=torch.Generator().manual_seed(1)).mul(0.02).requires_grad_()
        conditioning = backbone.encode_text(["a photo of <apple>"], {"<apple>": {"clip_l": vectors}})
        noise = backbone.predict_noise(LATENT[:1], torch.tensor([300]), conditioning)
        gradients += torch.autograd.grad((noise - LATENT[1:]).square().mean(), vectors)
    native.close()
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-4 * gradients[1].abs().max().item())


def test_gradients_reach_placeholders_and_leave_no_trace(parts, backbone_of, draw):
    before, state = draw(parts), state_of(parts)
    backbone = backbone_of(**parts)
    vectors = {name: torch.zeros(2, width, requires_grad=True) for name, width in backbone.text_widths.items()}
    keys = []
    site = next(site for site in backbone.attention_sites() if site.kind == "cross")
    with backbone.tap_attention(lambda call: keys.append(call.key), [site]):
        conditioning = backbone.encode_text(["a photo of <apple>"], {"<apple>": vectors})
        noise = backbone.predict_noise(LATENT[:1], torch.tensor([300]), conditioning)
    for answer in (noise, *keys):
        gradients = torch.autograd.grad(answer.square().mean(), list(vectors.values()), retain_graph=True)
        assert all(bool(torch.isfinite(g).all()) and g.abs().sum() > 0 for g in gradients)
    backbone.close()
    assert_no_trace(parts, state)
    assert draw(parts).equal(before)


def test_a_prediction_without_gradients_leaves_no_trace(parts, backbone_of, draw):
    before, state = draw(parts), state_of(parts)
    with torch.inference_mode():
        backbone = backbone_of(**parts)
        with backbone.tap_attention(lambda call: None):
            noise = backbone.predict_noise(LATENT, TIMESTEP, backbone.encode_text(TEXTS))
    assert bool(torch.isfinite(noise).all())
    assert_no_trace(parts, state)
    assert draw(parts).equal(before)


@pytest.mark.parametrize("family", ["sd15", "sd2", "sdxl"])
def test_noise_is_what_the_sampler_sees(parts_of, backbone_of, stock, family):
    """One Euler step from the noisiest level, by hand: epsilon and velocity, with SDXL's sizes."""
    parts = parts_of(family)
    backbone = backbone_of(**parts)
    conditioning = stock("CLIPTextEncode", clip=parts["clip"], text="a cat")[0]
    latent = {"samples": torch.zeros(1, 4, 8, 12)}
    shared = {"seed": 5, "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    drawn = stock(
        "KSampler", model=parts["model"], positive=conditioning, negative=conditioning, latent_image=latent, **shared
    )[0]["samples"]
    noise = torch.randn(latent["samples"].shape, generator=torch.manual_seed(5))
    with torch.no_grad():
        predicted = backbone.predict_noise(noise, torch.tensor([999]), backbone.encode_text(["a cat"]))
    alpha = backbone.alphas_cumprod[999].float()
    sigma = ((1 - alpha) / alpha).sqrt()
    # KSampler scales its noise so that the noisiest latent has the variance of signal and noise together.
    clean = noise * (1 + sigma**2).sqrt() - sigma * predicted
    assert_near(parts["model"].model.process_latent_out(clean), drawn, 1e-4)


def test_patches_stay_in_force(parts, backbone_of):
    model = parts["model"].clone()
    key = next(key for key in model.model.state_dict() if key.endswith("attn2.to_v.weight"))
    weight = model.model.state_dict()[key]
    model.add_patches({key: (0.5 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)),)})
    with torch.no_grad():
        plain, patched = (
            backbone.predict_noise(LATENT, TIMESTEP, backbone.encode_text(TEXTS))
            for backbone in (backbone_of(**parts), backbone_of(model, parts["clip"], parts["vae"]))
        )
    assert not torch.allclose(plain, patched)
    backbone = backbone_of(model, parts["clip"], parts["vae"])
    conditioning = backbone.encode_text(TEXTS)  # gradients on: through our clones
    torch.testing.assert_close(
        backbone.predict_noise(LATENT, TIMESTEP, conditioning).detach(), patched, rtol=1e-4, atol=1e-5
    )
    backbone.close()


def test_other_families_are_named_with_those_supported(backbone_of, comfyui, parts_of, pack):
    import comfy.model_base

    other = comfy.model_base.HiDream.__new__(comfy.model_base.HiDream)
    patcher = SimpleNamespace(model=other, clone=None, model_options={}, get_model_object=None)
    with pytest.raises(pack("host.adapters").UnsupportedModelError, match="HiDream.*Stable Diffusion XL.*FLUX.1"):
        backbone_of(patcher)
    with pytest.raises(pack("host.adapters").UnsupportedModelError, match="VAE is a builtins.str.*none of ComfyUI's"):
        backbone_of(vae="model.safetensors")
    with pytest.raises(ValueError, match=r"MODEL is Stable Diffusion 1.x and CLIP belongs to the lab model"):
        backbone_of(parts_of("sd15")["model"], parts_of("lab")["clip"])


def test_parts_of_two_hosts_are_refused(backbone_of, parts_of, pack):
    handle = pack("lab.model.handles").load_handles()[1]
    with pytest.raises(pack("host.adapters").UnsupportedModelError, match="headless"):
        backbone_of(parts_of("lab")["model"], handle)


def state_of(parts):
    """What of the user's model must stay as it is."""
    patchers = [parts["model"], parts["clip"].patcher, parts["vae"].patcher]
    return [
        (
            {key: value.clone() for key, value in patcher.model.state_dict().items()},
            [weight.requires_grad for weight in patcher.model.parameters()],
            patcher.patches_uuid,
            str(patcher.model_options),
            list(patcher.object_patches),
        )
        for patcher in patchers
    ]


def assert_no_trace(parts, state):
    for before, after in zip(state, state_of(parts), strict=True):
        assert before[0].keys() == after[0].keys()
        assert all(value.equal(after[0][key]) for key, value in before[0].items())
        assert before[1:] == after[1:]
    for patcher in (parts["model"], parts["clip"].patcher):
        assert all(weight.grad is None for weight in patcher.model.parameters())
        layers = [module for module in patcher.model.modules() if hasattr(module, "weight_function")]
        assert layers and all(not layer.weight_function and not layer.bias_function for layer in layers)
