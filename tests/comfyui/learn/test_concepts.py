"""Concepts beside the text of ComfyUI's transformers, tiny and at random weights."""

import pytest
import torch

FAMILIES = ("flux", "flux2", "chroma", "krea2", "sd3")
SIZES = ((8, 12), (7, 10))


@pytest.fixture
def backbone(model_of, pack):
    return lambda family: pack("host.adapters").backbone_of(model_of(family))


@pytest.fixture
def conditioning(small, pack):
    def go(family, rows=7, batch=1):
        (found,) = small.conditioning(family, rows, batch=batch)
        extras = {name: value for name, value in found[1].items() if value is not None}
        return pack("core.backbone").Conditioning(found[0], extras)

    return go


@pytest.fixture
def concepts(small, pack):
    def go(family, counts=(1, 1, 1), seed=4):
        rows = torch.randn(sum(counts), small.SMALL[family].width, generator=torch.Generator().manual_seed(seed))
        return pack("core.attribute.concept_attention").ConceptRows(rows, tuple(counts))

    return go


@pytest.fixture
def noisy(small):
    def go(family, size=SIZES[0], batch=1):
        drawn = torch.randn(
            small.latent(family, size, batch).squeeze(2).shape, generator=torch.Generator().manual_seed(8)
        )
        return drawn

    return go


def beside(backbone, text, rows, latent):
    """Every call of a pass, and what the model predicts."""
    calls = []
    with torch.no_grad(), backbone.tap_concepts(calls.append, rows, backbone.attention_sites()):
        return calls, backbone.predict_noise(latent, torch.tensor([600] * len(latent)), text)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("batch", [1, 2])
def test_concepts_change_neither_the_picture_nor_what_is_predicted(
    backbone, conditioning, concepts, noisy, family, size, batch
):
    model, text, latent = backbone(family), conditioning(family, batch=batch), noisy(family, size, batch)
    with torch.no_grad():
        plain = model.predict_noise(latent, torch.tensor([600] * batch), text)
    one = beside(model, text, concepts(family), latent)
    two = beside(model, text, concepts(family, (2, 3), seed=9), latent)
    patch = 1 if family == "flux2" else 2
    grid = (-(-size[0] // patch), -(-size[1] // patch))
    for calls, predicted in (one, two):
        torch.testing.assert_close(predicted, plain, rtol=1e-4, atol=1e-4)
        assert [call.site for call in calls] == list(model.attention_sites())
        assert all(call.grid == grid and call.picture.shape[:2] == (batch, grid[0] * grid[1]) for call in calls)
    for ours, others in zip(one[0], two[0], strict=True):
        torch.testing.assert_close(ours.picture, others.picture, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(ours.concepts[:, :1], others.concepts[:, :1], rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        assert torch.equal(model.predict_noise(latent, torch.tensor([600] * batch), text), plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_picture_gives_what_it_gives_without_concepts(
    backbone, conditioning, concepts, noisy, model_of, pack, family
):
    """What a block's attention puts out for the picture, seen by an override of another node."""
    seen = []

    def watching(attention, *args, **kwargs):
        seen.append(attention(*args, **kwargs))
        return seen[-1]

    model = model_of(family).clone()
    model.model_options["transformer_options"] = {"optimized_attention_override": watching}
    watched = pack("host.adapters").backbone_of(model)
    calls, _ = beside(watched, conditioning(family), concepts(family), noisy(family))
    for call in calls:
        rows = call.picture.shape[1]
        assert any(out.shape[1] == 7 + rows or out.shape[1] == 512 + rows for out in seen)
        assert any(torch.equal(out[:, -rows:], call.picture) for out in seen if out.shape[1] > rows)
        assert any(out.shape == call.concepts.shape and torch.equal(out, call.concepts) for out in seen)


@pytest.mark.parametrize("family", FAMILIES)
def test_taps_see_the_same_attention_with_concepts_and_without(backbone, conditioning, concepts, noisy, pack, family):
    model, text, latent = backbone(family), conditioning(family), noisy(family)
    maps = []
    for with_concepts in (False, True):
        recorder = pack("core.attention.record").AttentionRecorder()
        with torch.no_grad(), recorder.recording(model):
            if with_concepts:
                beside(model, text, concepts(family), latent)
            else:
                model.predict_noise(latent, torch.tensor([600]), text)
        maps.append(next(iter(recorder.maps().cross.values())))
    assert maps[0].shape == maps[1].shape
    torch.testing.assert_close(*maps, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_concepts_have_equal_maps_that_sum_to_one(backbone, conditioning, concepts, noisy, pack, family):
    module = pack("core.attribute.concept_attention")
    model, rows = backbone(family), concepts(family, (2, 2, 1))
    rows.rows[2:4] = rows.rows[:2]
    recorder = module.ConceptRecorder(rows.counts)
    with torch.no_grad(), model.tap_concepts(recorder.tap, rows, model.default_sites()):
        model.predict_noise(noisy(family, batch=2), torch.tensor([600, 600]), conditioning(family, batch=2))
    maps = recorder.maps()
    torch.testing.assert_close(maps.sum(0), torch.ones(maps.shape[1:]))
    torch.testing.assert_close(maps[0], maps[1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(maps[0], maps[2], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_default_blocks_are_those_of_the_family(backbone, small, pack, family):
    model = backbone(family)
    count = len(model.default_sites())
    assert 0 < count <= small.DEEP
    assert set(model.default_sites()) <= set(model.attention_sites())
    assert not any("single_blocks" in site.name for site in model.default_sites())


@pytest.mark.parametrize("family", ["z_image", "lumina2", "qwen_image", "anima"])
def test_other_transformers_are_refused_by_name(backbone, pack, concepts, family):
    title = pack("host.shared.families").FAMILIES[family].title
    with pytest.raises(pack("host.adapters").UnsupportedModelError, match=rf"{title}.*supported are.*FLUX.1.*Krea 2"):
        backbone(family).tap_concepts(lambda call: None, concepts(family), ()).__enter__()


@pytest.mark.parametrize("family", [*FAMILIES, "flux2_dev"])
def test_a_picture_is_read_by_the_node_and_the_model_is_left_alone(model_of, clip_of, small, run, stock, image, family):
    model, clip, vae = model_of(family), clip_of(family), small.vae_of(family)
    given = {"model": model, "clip": clip, "vae": vae, "image": image, "normalise": "absolute", "text": "a red square"}
    sampling = {"seed": 5, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    text = small.conditioning(family)
    latent = {"samples": small.latent(family)}

    def sample():
        return stock("KSampler", model=model, positive=text, negative=text, latent_image=latent, **sampling)[0]

    before = sample()["samples"]
    pictures, masks = run("ShowConceptHeatmap", **given, concepts="red square, green thing, red square")
    assert len(pictures) == 2 and masks.shape == (2, 64, 96) and not torch.allclose(masks[0], masks[1], atol=1e-3)
    assert (masks >= 0).all() and (masks.sum(0) <= 1 + 1e-5).all()
    assert torch.equal(masks, run("ShowConceptHeatmap", **given, concepts="red square, green thing")[1])
    other = run("ShowConceptHeatmap", **given, concepts="red square, green thing", blocks="0")[1]
    assert not torch.equal(masks, other)
    patched, key = model.clone(), small.query_weight(model)
    patched.add_patches({key: (torch.ones(model.model.state_dict()[key].shape) * 0.3,)}, 1.0)  # as a LoRA does
    assert not torch.equal(
        masks, run("ShowConceptHeatmap", **(given | {"model": patched}), concepts="red square, green thing")[1]
    )
    assert torch.equal(sample()["samples"], before)


@pytest.mark.parametrize("family", FAMILIES)
def test_words_are_compared_by_four_kinds_of_maps(model_of, clip_of, small, run, image, family):
    given = {"model": model_of(family), "clip": clip_of(family), "vae": small.vae_of(family), "image": image}
    given |= {"text": "a red square and a green thing", "words": "red square, green", "levels": 1, "draws": 1}
    sheet, maps, table = run("CompareWords", **given, masks=torch.ones(1, 64, 96))
    assert len(sheet) == 1 and maps.shape == (8, 64, 96) and torch.isfinite(maps).all()
    assert [line.split(",")[1] for line in table.splitlines()[1:5]] == ["attention", "information", "both", "concepts"]
    assert torch.equal(maps, run("CompareWords", **given)[1])


@pytest.mark.parametrize("family", ["z_image", "lumina2", "qwen_image", "anima"])
def test_words_are_compared_without_concepts_where_none_run_beside_the_text(
    model_of, clip_of, small, run, image, family
):
    given = {"model": model_of(family), "clip": clip_of(family), "vae": small.vae_of(family), "image": image}
    given |= {"text": "a red square and a green thing", "words": "red square, green", "levels": 1, "draws": 1}
    _, maps, table = run("CompareWords", **given, masks=torch.ones(1, 64, 96))
    assert maps.shape == (6, 64, 96) and torch.isfinite(maps).all()
    assert [line.split(",")[1] for line in table.splitlines()[1:4]] == ["attention", "information", "both"]


def test_it_can_be_cancelled(model_of, clip_of, small, run, image, comfyui):
    import comfy.model_management as management

    given = {"model": model_of("flux"), "clip": clip_of("flux"), "vae": small.vae_of("flux"), "image": image}
    management.interrupt_current_processing(True)
    with pytest.raises(management.InterruptProcessingException):
        run("ShowConceptHeatmap", **given)
    management.interrupt_current_processing(False)
    assert run("ShowConceptHeatmap", **given)[1].shape == (2, 64, 96)


@pytest.fixture
def draw(stock, small):
    def go(family, model, clip, **changes):
        prompt = [stock("CLIPTextEncode", clip=clip, text=text)[0] for text in ("a red square", "")]
        given = {"seed": 5, "steps": 3, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
        latent = {"samples": small.latent(family, SIZES[0], 2)}
        given = {"positive": prompt[0], "negative": prompt[1], "latent_image": latent} | given
        return stock("KSampler", model=model, **(given | changes))[0]

    return go


@pytest.fixture
def watch(run, model_of, clip_of):
    def go(family, **changes):
        given = {"concepts": "red square, green thing", "least_grid": 1, "model": model_of(family)}
        return run("CaptureAttention", clip=clip_of(family), **(given | changes))

    return go


@pytest.mark.parametrize("family", FAMILIES)
def test_concepts_are_read_while_sampling_which_stays_bit_equal(
    watch, draw, model_of, clip_of, small, run, pack, family
):
    """Every step: the maps are means of those that a pass of each step's latent gives."""
    clip, model = clip_of(family), model_of(family)
    plain = draw(family, model, clip)["samples"]
    seen, module = [], pack("core.attribute.concept_attention")
    taps = module.ConceptRecorder.tap
    module.ConceptRecorder.tap = lambda recorder, call: (seen.append(call.conditional), taps(recorder, call))[1]
    try:
        captured, capture = watch(family)
        latent = draw(family, captured, clip)
    finally:
        module.ConceptRecorder.tap = taps
    assert torch.equal(latent["samples"], plain)
    sites = pack("host.adapters").backbone_of(model).default_sites()
    assert len(seen) == 3 * len(sites) and all(sum(rows) == 2 for rows in seen)
    assert capture.runs[-1].missed == () and capture.maps().cross
    maps = capture.concept_maps(capture.runs[-1], ["red square", "green thing", "background"])
    torch.testing.assert_close(maps.sum(0), torch.ones(maps.shape[1:]))
    parts = {"model": model, "clip": clip, "vae": small.vae_of(family), "normalise": "absolute"}
    image = torch.rand(2, 64, 96, 3, generator=torch.Generator().manual_seed(1))
    given = {"capture": capture, "samples": latent, "image": image}
    pictures, masks = run("ShowConceptHeatmap", **parts, **given, concepts="green thing, red square")
    assert len(pictures) == 4 and masks.shape == (4, 64, 96)
    assert not torch.allclose(masks[0], masks[2], atol=1e-3)
    assert torch.equal(draw(family, model, clip)["samples"], plain)


@pytest.mark.parametrize("family", ["flux", "flux2", "krea2"])
def test_concepts_are_read_beside_reference_pictures(watch, stock, model_of, clip_of, small, family):
    prompt = stock("CLIPTextEncode", clip=clip_of(family), text="a red square")[0]
    maps = {}
    for name, size in (("small", (6, 6)), ("large", (10, 6))):
        shape = small.latent(family, size).shape
        reference = torch.randn(shape, generator=torch.Generator().manual_seed(3))
        positive = [[rows, extras | {"reference_latents": [reference]}] for rows, extras in prompt]
        given = {"positive": positive, "negative": prompt, "latent_image": {"samples": small.latent(family, SIZES[0])}}
        given |= {"seed": 5, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
        captured, capture = watch(family)
        drawn, plain = (stock("KSampler", model=one, **given)[0]["samples"] for one in (captured, model_of(family)))
        assert torch.equal(drawn, plain) and capture.runs[-1].missed == ()
        maps[name] = capture.concept_maps(capture.runs[-1], ["red square", "green thing", "background"])
        torch.testing.assert_close(maps[name].sum(0), torch.ones(maps[name].shape[1:]))
    assert maps["small"].shape == maps["large"].shape and not torch.equal(maps["small"], maps["large"])


def test_concepts_are_those_of_one_pass_over_the_latent_of_the_step(watch, model_of, clip_of, small, stock, pack):
    """Of one step at a level of noise that the backbone has too."""
    import comfy.sample
    import comfy.samplers

    family, at = "flux", 600
    model, clip = model_of(family), clip_of(family)
    captured, capture = watch(family)
    backbone, module = pack("host.adapters").backbone_of(model, clip), pack("core.attribute.concept_attention")
    empty, sigma = small.latent(family, SIZES[0], 2), backbone.schedule.sigmas[at]
    noise = comfy.sample.prepare_noise(empty, 3)
    prompt = stock("CLIPTextEncode", clip=clip, text="a red square")[0]
    with torch.inference_mode():
        euler, sigmas = comfy.samplers.sampler_object("euler"), torch.tensor([float(sigma), 0.0])
        comfy.sample.sample_custom(captured, noise, 1.0, euler, sigmas, prompt, prompt, empty, disable_pbar=True)
    recorder, rows = module.ConceptRecorder(capture.concepts.rows.counts), capture.concepts.rows
    text = backbone.encode_text(["a red square"] * 2)
    with torch.no_grad(), backbone.tap_concepts(recorder.tap, rows, backbone.default_sites()):
        backbone.predict_noise(noise * sigma, torch.tensor([at] * 2), text)
    torch.testing.assert_close(capture.runs[-1].concepts, recorder.maps(), rtol=1e-3, atol=1e-4)


def test_a_part_of_denoising_and_blocks_are_read_and_faults_are_named(watch, draw, model_of, clip_of, small, run, pack):
    family, clip = "flux", clip_of("flux")
    whole, late = (watch(family, **changes) for changes in ({}, {"start_percent": 0.5}))
    for captured, _ in (whole, late):
        draw(family, captured, clip)
    every, end = (capture.runs[-1].concepts for _, capture in (whole, late))
    assert not torch.equal(every, end)
    parts = {"model": model_of(family), "clip": clip, "vae": small.vae_of(family)}
    show = {**parts, "capture": whole[1], "samples": draw(family, whole[0], clip), "image": torch.rand(2, 64, 96, 3)}
    with pytest.raises(ValueError, match=r"dog.* was not captured while sampling .*red square"):
        run("ShowConceptHeatmap", **show, concepts="dog")
    with pytest.raises(ValueError, match="2 pictures and image holds 1"):
        run("ShowConceptHeatmap", **(show | {"image": torch.rand(1, 64, 96, 3)}), concepts="red square")
    with pytest.raises(ValueError, match="needs samples"):
        run("ShowConceptHeatmap", **(show | {"samples": None}), concepts="red square")
    with pytest.raises(ValueError, match="connect clip"):
        run("CaptureAttention", model=model_of(family), concepts="cat")
    with pytest.raises(pack("host.adapters").UnsupportedModelError, match="supported are"):
        watch("z_image")
