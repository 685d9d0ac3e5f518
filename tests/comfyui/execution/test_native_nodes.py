"""Every node that works on the user's MODEL, CLIP and VAE, in a real ComfyUI, and the model afterwards."""

import copy

import pytest
import torch


@pytest.fixture
def learn(run, parts, image, concepts):
    """Learn Concept Tokens in a few steps without previews, unless told otherwise."""

    def go(**changes):
        given = {**parts, "image": image, "concepts": concepts, "steps": 2, "preview_every": 0}
        return run("LearnConceptTokens", **(given | changes))

    return go


def test_localize_concepts(run, parts, image, draw):
    before = draw(parts)
    found, masks, overlay, _ = run("LocalizeConcepts", **parts, image=image)
    assert len(found) >= 1 and masks.shape == (len(found), 64, 96) and overlay.shape[-1] == 3
    assert (masks.device, overlay.device) == (torch.device("cpu"), torch.device("cpu"))
    assert draw(parts).equal(before)


def test_concepts_from_masks_and_edit(run, concepts):
    edited, masks = run("EditConcepts", concepts=concepts, rename="red=apple", add_background=True)
    assert edited.names == ("apple", "green", "background") and masks.shape == (3, 64, 96)


def test_learn_save_load_and_draw(run, stock, parts, learn, draw, family, image):
    before = draw(parts)
    tokens, plot, _ = learn(preview_every=1)
    assert tokens.names == ("red", "green") and tokens.family == family and plot.shape[-1] == 3
    assert draw(parts).equal(before)
    names = run("SaveConceptTokens", tokens=tokens, prefix=f"{family}/n/")[0]
    loaded = run("LoadConceptTokens", clip=parts["clip"], names=names)[0]
    for name, vectors in tokens.vectors.items():
        assert all(loaded.vectors[name][encoder].equal(rows) for encoder, rows in vectors.items())
    positive = run("EncodeConceptPrompt", clip=parts["clip"], tokens=loaded, text="<red> and <2>")[0]
    written = stock("CLIPTextEncode", clip=parts["clip"], text="embedding:{} and embedding:{}".format(*names.split()))
    assert positive[0][0].equal(written[0][0][0])
    sampled = stock(
        "KSampler",
        model=parts["model"],
        positive=positive,
        negative=stock("CLIPTextEncode", clip=parts["clip"], text="")[0],
        latent_image={"samples": torch.zeros(1, 4, 8, 12)},
        **{"seed": 1, "steps": 1, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0},
    )[0]["samples"]
    assert bool(torch.isfinite(sampled).all())


def test_cancel_leaves_the_model_as_it_was(parts, learn, draw, uninterrupted):
    import comfy.model_management as management

    before = draw(parts)
    management.interrupt_current_processing(True)
    with pytest.raises(management.InterruptProcessingException):
        learn()
    assert draw(parts).equal(before)


def test_an_error_leaves_the_model_as_it_was(parts, learn, draw):
    class Broken(Exception): ...

    def broken(*_, **__):
        raise Broken

    before = draw(parts)
    vae = copy.copy(parts["vae"])
    vae.decode = broken
    with pytest.raises(Broken):
        learn(vae=vae, preview_every=1)
    assert draw(parts).equal(before)


def test_the_bar_shows_steps_and_previews(pack, parts, learn, comfyui):
    """Previews are two pictures of 96x64 beside each other, enlarged for their captions."""
    import comfy.utils

    seen = []
    comfy.utils.set_progress_bar_global_hook(lambda done, total, preview, **_: seen.append((done, total, preview)))
    try:
        learn(steps=3, preview_every=2)
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
    shown = [(done, total, preview is not None) for done, total, preview in seen if total == 3]
    assert (2, 3, True) in shown and (3, 3, True) in shown
    band = pack("host.jobs.learn.token_previews").BAND
    assert next(preview for _, _, preview in seen if preview is not None)[1].size == (384, 128 + 2 * band)


def test_half_precision_weights_are_learnt_on(parts_of, build, run, image, masks):
    """A denoiser that is stored and computes in float16, as on most graphics cards."""
    parts, half = parts_of("sd15"), build("sd15", dtype=torch.float16).model
    before = {key: value.clone() for key, value in half.model.state_dict().items()}
    given = {**parts, "model": half, "image": image}
    concepts = run("ConceptsFromMasks", **given, masks=masks)[0]
    tokens, *_ = run("LearnConceptTokens", **given, concepts=concepts, steps=3, preview_every=0)
    assert bool(torch.isfinite(tokens.losses).all())
    assert all(value.equal(before[key]) for key, value in half.model.state_dict().items())
    assert half.model.manual_cast_dtype is None and half.model.get_dtype() == torch.float16


def test_learnt_tokens_explain_their_masks_better_than_the_start_on_the_lab_model(parts_of, run, pack):
    scene = pack("lab.world.scene").sample_scene("train", 5)
    image = torch.tensor(scene.picture).float()[None] / 255
    masks = torch.stack([torch.tensor(thing.mask) for thing in scene.objects]).float()
    parts = parts_of("lab")
    concepts = run("ConceptsFromMasks", **parts, image=image, masks=masks)[0]
    words = ", ".join(
        f"{name}=house" for name in concepts.names
    )  # from a wrong word: the nearest one leaves little to gain
    given = parts | {"image": image, "concepts": concepts, "preview_every": 0, "start_words": words}
    start, *_ = run("LearnConceptTokens", **given, steps=1, learning_rate=1e-6)
    learnt, *_ = run("LearnConceptTokens", **given, steps=60)
    backbone = pack("host.adapters").backbone_of(**parts)
    before, after = (masked_error(pack, backbone, image, concepts, tokens) for tokens in (start, learnt))
    assert after < 0.9 * before


@torch.no_grad()
def masked_error(pack, backbone, image, concepts, tokens):
    """By how much each token misses the noise inside its mask: the same noise at eight levels for all."""
    latent = backbone.encode_image(image.movedim(-1, 1)).float()
    times = torch.linspace(100, 500, 8).long()
    noise = torch.randn(8, *latent.shape[1:], generator=torch.Generator().manual_seed(0))
    noised = pack("core.schedule").add_noise(latent.expand(8, -1, -1, -1), noise, times, backbone.alphas_cumprod)
    errors = []
    for name, mask in zip(concepts.names, concepts.masks, strict=True):
        conditioning = backbone.encode_text([f"a photo of <{name}>"] * 8, tokens.placeholders())
        missed = (noise - backbone.predict_noise(noised, times, conditioning).float()).square().mean(1)
        errors.append(float((missed * mask).mean()))
    return sum(errors)
