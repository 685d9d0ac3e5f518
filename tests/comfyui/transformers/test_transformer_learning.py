"""Learnt tokens on diffusion transformers, text encoders and denoisers of ComfyUI's own classes at tiny width."""

import pytest
import torch

TUNED = ("flux", "flux2", "flux2_9b", "flux2_dev", "chroma", "z_image", "krea2", "qwen_image", "anima", "sd3")
FAMILIES = (*TUNED, "lumina2")
NAMES = {"flux2_9b": "flux2", "flux2_dev": "flux2"}
UNREAD = ("qwen_image", "lumina2")
TEXT = "a photo of <apple> on a table, and a <2>"


@pytest.fixture(scope="session")
def parts_of(reading_parts_of):
    return reading_parts_of


def vectors(backbone, count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(count, width, generator=generator).requires_grad_()
        for name, width in backbone.text_widths.items()
    }


def read_by_the_blocks(backbone, conditioning):
    """The rows (L, D) of a conditioning, those of Anima behind its adapter."""
    if not conditioning.one_text:
        return conditioning.context[0]
    denoiser = backbone.model.model.diffusion_model
    return denoiser.llm_adapter(conditioning.context, conditioning.extras["t5xxl_ids"][None])[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_token_stands_where_it_is_said_to_and_nowhere_else(backbone_for, family):
    backbone = backbone_for(family)
    learnt = {"<apple>": vectors(backbone), "<2>": vectors(backbone, 1, 5)}
    with torch.no_grad():
        read = backbone.tokenize(TEXT, learnt)
        rows = [token.position for token in read.tokens if token.placeholder == "<apple>"]
        encoders = 2 if family == "sd3" else 1  # CLIP's rows and T5's, one behind another
        assert len(rows) == 2 * encoders and all(
            later == first + 1 for first, later in zip(rows[::2], rows[1::2], strict=True)
        )
        assert [token.text for token in read.tokens if token.placeholder == "<2>"] == ["<2>"] * encoders
        moved = dict(learnt) | {"<apple>": vectors(backbone, seed=9)}
        context, other = (read_by_the_blocks(backbone, backbone.encode_text([TEXT], of)) for of in (learnt, moved))
        assert len(context) == read.length
        changed = (context - other).abs().amax(-1) > 1e-5
        assert changed[rows].all()
        if family != "anima" and "t5xxl" not in backbone.text_widths:  # which read in both directions
            assert not changed[: rows[0]].any()


@pytest.mark.parametrize("left_out", [("t5xxl",), ("clip_l", "clip_g")])
def test_a_token_has_no_vectors_for_text_encoders_that_were_not_loaded(backbone_for, parts_of, monkeypatch, left_out):
    backbone = backbone_for("sd3")
    for name in left_out:
        monkeypatch.setitem(parts_of("sd3")["clip"].cond_stage_model._modules, name, None)
    learnt = {"<apple>": vectors(backbone)}
    assert set(learnt["<apple>"]) == {"clip_l", "clip_g", "t5xxl"} - set(left_out) == set(backbone.word_vectors("cat"))
    with torch.no_grad():
        read, context = backbone.tokenize(TEXT, learnt), backbone.encode_text([TEXT], learnt).context[0]
        moved = backbone.encode_text([TEXT], {"<apple>": vectors(backbone, seed=9)}).context[0]
    rows = [token.position for token in read.tokens if token.placeholder == "<apple>"]
    assert len(rows) == 2 and len(context) == read.length and (context != moved)[rows].any(-1).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_word_in_its_own_vectors_is_read_as_the_word(backbone_for, pack, family):
    """The rows of a word's own tokens, put there as learnt vectors, give the conditioning of the word."""
    backbone = backbone_for(family)
    with torch.no_grad():
        own = backbone.word_vectors("cat")
        plain = backbone.encode_text(["a photo of a cat"])
        read = backbone.encode_text(["a photo of a <apple>"], {"<apple>": own})
    torch.testing.assert_close(read.context, plain.context, rtol=1e-4, atol=1e-4)
    words = [name for name, _ in pack("core.attention.words").words_of(backbone.tokenize("a cat"))]
    assert words == ["a", "cat"] * (2 if family == "sd3" else 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_the_vectors_through_text_encoder_and_denoiser(backbone_for, small, family):
    backbone = backbone_for(family)
    learnt = vectors(backbone, 1)
    latent = torch.randn(small.SMALL[family].channels * 24, generator=torch.Generator().manual_seed(8))
    latent = latent.reshape(1, small.SMALL[family].channels, 4, 6)
    weight = torch.randn(latent.shape, generator=torch.Generator().manual_seed(9))

    def loss(found):
        text = backbone.encode_text(["a photo of <1>"], {"<1>": found})
        return (backbone.predict_target(latent, torch.tensor([700]), text) * weight).sum()

    loss(learnt).backward()
    for name, rows in learnt.items():
        direction = torch.randn(rows.shape, generator=torch.Generator().manual_seed(2))
        moved = [{**learnt, name: rows.detach() + sign * 1e-2 * direction} for sign in (1, -1)]
        with torch.no_grad():
            difference = (loss(moved[0]) - loss(moved[1])) / 2e-2
        assert rows.grad.norm() > 0
        torch.testing.assert_close((rows.grad * direction).sum(), difference, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_encoded_does_not_depend_on_gradients(backbone_for, family):
    backbone = backbone_for(family)
    learnt = {"<1>": vectors(backbone, 1)}
    with torch.no_grad():
        plain = backbone.encode_text(["a photo of <1>"], learnt)
    encoded = backbone.encode_text(["a photo of <1>"], learnt)
    assert encoded.context.requires_grad and torch.equal(encoded.context.detach(), plain.context)


@pytest.fixture
def concepts(run, parts_of, image, masks):
    def go(family):
        return run("ConceptsFromMasks", **parts_of(family), image=image, masks=masks, names="red, green")[0]

    return go


@pytest.fixture
def learn(run, parts_of, image, concepts):
    def go(family, **changes):
        given = {"steps": 2, "preview_every": 0, "keep_every": 0, "preset": "small", "save_memory": "off"}
        given |= {"image": image, "concepts": concepts(family), "class_words": "red=apple, green=fish"}
        return run("LearnConceptTokens", **parts_of(family), **(given | changes))

    return go


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_are_learnt_and_the_model_stays_as_it_was(learn, parts_of, run, stock, small, family):
    parts = parts_of(family)
    before = {name: weight.clone() for name, weight in parts["model"].model.state_dict().items()}
    tokens, plot, model = learn(family)
    assert (
        tokens.names == ("red", "green")
        and tokens.family == NAMES.get(family, family)
        and torch.isfinite(tokens.losses).all()
    )
    assert set(tokens.vectors["red"]) == set(small.LEARNING[family][0]) and model is parts["model"]
    assert all(torch.equal(weight, before[name]) for name, weight in parts["model"].model.state_dict().items())
    prompt = run("EncodeConceptPrompt", clip=parts["clip"], tokens=tokens, text="a photo of <red> and <2>")[0]
    settings = {"seed": 5, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    given = {"model": model, "positive": prompt, "negative": prompt, "latent_image": {"samples": small.latent(family)}}
    assert torch.isfinite(stock("KSampler", **given, **settings)[0]["samples"]).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_cones_searches_the_encoded_text_and_fits_a_token_to_it(pack, parts_of, concepts, image, family):
    """Of its losses the last eight are those of the fit, which fall."""
    from dataclasses import replace

    method = pack("core.learn.registry").METHODS["cones"]
    short = {"steps": 4, "fit_steps": 8, "rounds": 1, "fit_rate": 0.02}
    settings = replace(method.presets["small"], **short)
    adapters = pack("host.adapters")
    found = concepts(family)
    with adapters.at_work(adapters.backbone_of(**parts_of(family))) as backbone:
        tokens = method.learn(backbone, image.movedim(-1, 1)[:1], found, settings, seed=1)
    fit = tokens.losses[4:]
    assert len(fit) == 8 and fit[-1] < fit[0]


@pytest.mark.parametrize("family", ["flux", "z_image", "anima"])
def test_a_cancelled_learning_leaves_the_model_alone_and_goes_on(
    learn, parts_of, run, stock, small, comfyui, uninterrupted, every_step, family
):
    import comfy.model_management as management
    import comfy.utils

    parts = parts_of(family)
    text = stock("CLIPTextEncode", clip=parts["clip"], text="a cat")[0]
    settings = {"seed": 5, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    given = {"positive": text, "negative": text, "latent_image": {"samples": small.latent(family)}} | settings
    before = stock("KSampler", model=parts["model"], **given)[0]["samples"]
    whole = learn(family, steps=4)[0]

    def cancel(done, total, preview, **_):
        if (done, total) == (2, 4):
            management.interrupt_current_processing(True)

    comfy.utils.set_progress_bar_global_hook(cancel)
    try:
        with pytest.raises(management.InterruptProcessingException):
            learn(family, steps=4, keep_every=1)
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
    assert torch.equal(stock("KSampler", model=parts["model"], **given)[0]["samples"], before)
    resumed = learn(family, steps=4, keep_every=1)[0]
    assert resumed.metadata["resumed_at"] == "2"
    for encoder, rows in whole.vectors["red"].items():
        assert torch.equal(resumed.vectors["red"][encoder], rows)


PROJECTIONS = {
    "flux": 2 * 2 * 3 + 2 * 3,
    "flux2": 2 * 2 * 3 + 2 * 3,
    "flux2_9b": 2 * 2 * 3 + 2 * 3,
    "flux2_dev": 2 * 2 * 3 + 2 * 3,
    "chroma": 2 * 2 * 3 + 2 * 3,
    "qwen_image": 2 * 2 * 3,
    "anima": 2 * 3,
    "sd3": 2 * 2 * 3,
}
"""Keys and values of every block: of two streams, and of three blocks of one; of other families 2 in each block."""


@pytest.mark.parametrize(
    ("family", "method"),
    [
        *((family, "attencraft") for family in TUNED),
        ("flux", "break_a_scene"),
        ("z_image", "break_a_scene"),
        ("qwen_image", "disendiff"),
        ("flux2", "far"),
    ],
)
def test_methods_change_the_model_and_the_file_does_the_same_in_the_stock_loader(
    learn, parts_of, run, stock, small, family, method
):
    parts = parts_of(family)
    tokens, _, model = learn(family, method=method)
    assert model is not parts["model"]
    if method == "attencraft":
        assert len(tokens.adapter) == PROJECTIONS.get(family, 2 * 3)
    run("SaveAdapterAsLora", tokens=tokens, name=f"atelier/{family}_adapter")
    given = {"lora_name": f"atelier/{family}_adapter.safetensors", "strength_model": 1.0}
    loaded = stock("LoraLoaderModelOnly", model=parts["model"], **given)[0]
    settings = {"seed": 5, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    (encoded,) = run("EncodeConceptPrompt", clip=parts["clip"], tokens=tokens, text="a photo of <red>")
    given = {"positive": encoded, "negative": encoded, "latent_image": {"samples": small.latent(family)}}
    plain, wanted, drawn = (
        stock("KSampler", model=one, **given, **settings)[0]["samples"] for one in (parts["model"], model, loaded)
    )
    assert not torch.equal(plain, wanted)
    torch.testing.assert_close(drawn, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["flux", "z_image", "qwen_image", "sd3"])
def test_less_memory_learns_the_same(learn, family):
    kept, computed_again = (learn(family, save_memory=choice)[0] for choice in ("off", "on"))
    torch.testing.assert_close(computed_again.losses, kept.losses, rtol=1e-3, atol=1e-4)
    for name, rows in kept.vectors["red"].items():
        torch.testing.assert_close(computed_again.vectors["red"][name], rows, rtol=1e-2, atol=1e-3)


@pytest.fixture
def made(backbone_for, pack):
    """Tokens of a family, of random vectors."""

    def go(family, count=2):
        backbone = backbone_for(family)
        rows = {name: one.detach() for name, one in vectors(backbone, count).items()}
        return pack("core.types").ConceptTokens({"red": rows}, family)

    return go


@pytest.mark.parametrize("family", FAMILIES)
def test_files_are_loaded_again_and_read_by_comfyui_itself_where_it_reads_any(made, parts_of, run, family):
    """ComfyUI's own tokenizers put the very vectors of the file into a prompt; two read no files."""
    tokens, clip = made(family), parts_of(family)["clip"]
    run("SaveConceptTokens", tokens=tokens, prefix=f"atelier/{family}_")
    loaded = run("LoadConceptTokens", clip=clip, names=f"atelier/{family}_red")[0]
    for name, rows in tokens.vectors["red"].items():
        assert torch.equal(loaded.vectors["red"][name], rows)
    encoded = clip.tokenize(f"a photo of embedding:atelier/{family}_red on a table")
    for key, chunks in encoded.items():
        found = [entry[0] for chunk in chunks for entry in chunk if torch.is_tensor(entry[0])]
        name = key if key in tokens.vectors["red"] else f"clip_{key}"
        if family in UNREAD:
            assert not found
        elif family == "anima" and key == "t5xxl":
            assert torch.stack(found).tolist() == [[2], [2]]  # <unk>, whose number the denoiser is given
        else:
            assert torch.equal(torch.stack(found), tokens.vectors["red"][name])


@pytest.mark.parametrize("family", ["flux", "chroma", "sd3"])
def test_where_no_template_surrounds_it_comfyui_reads_the_file_as_encode_concept_prompt_does(
    made, parts_of, run, stock, family
):
    tokens, clip = made(family), parts_of(family)["clip"]
    run("SaveConceptTokens", tokens=tokens, prefix=f"same/{family}_")
    with torch.inference_mode():
        ours = run("EncodeConceptPrompt", clip=clip, tokens=tokens, text="a photo of <red> on a table")[0]
        theirs = stock("CLIPTextEncode", clip=clip, text=f"a photo of embedding:same/{family}_red on a table")[0]
    torch.testing.assert_close(ours[0][0], theirs[0][0], rtol=1e-4, atol=1e-4)
    assert (ours[0][1]["pooled_output"] is None) == (theirs[0][1]["pooled_output"] is None)


def test_the_numbers_of_t5_that_anima_reads_have_the_unknown_token_where_vectors_stand(
    made, parts_of, run, stock, small
):
    """Also where ComfyUI itself reads the file, which has a token more before it: the space."""
    tokens, parts = made("anima"), parts_of("anima")
    clip = parts["clip"]
    run("SaveConceptTokens", tokens=tokens, prefix="numbers/")
    with torch.inference_mode():
        ours = run("EncodeConceptPrompt", clip=clip, tokens=tokens, text="a photo of <red> on a table")[0][0]
        theirs = stock("CLIPTextEncode", clip=clip, text="a photo of embedding:numbers/red on a table")[0][0]
        ((_, of_word),) = stock("CLIPTextEncode", clip=clip, text="a photo of cat on a table")[0]
    cat = of_word["t5xxl_ids"].tolist()
    for context, extras in (ours, theirs):
        numbers = extras["t5xxl_ids"].tolist()
        assert numbers == [*cat[:4], 2, 2, *cat[5:]] and torch.isfinite(context).all()
    given = {"positive": [theirs], "negative": [theirs], "latent_image": {"samples": small.latent("anima")}}
    settings = {"seed": 5, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    assert torch.isfinite(stock("KSampler", model=parts["model"], **given, **settings)[0]["samples"]).all()


@pytest.mark.parametrize("learning", [False, True])
def test_sentences_of_tokens_that_anima_reads_by_the_same_numbers_share_a_pass(backbone_for, learning):
    """Each as if it was alone; a word beside them has other numbers."""
    backbone, texts = backbone_for("anima"), ["a photo of <1>", "a photo of <2>"]
    learnt = {f"<{number}>": vectors(backbone, 1, number) for number in (1, 2)}
    latent = torch.randn(2, 16, 4, 6, generator=torch.Generator().manual_seed(3))
    times = torch.tensor([700, 300])
    with torch.inference_mode(not learning), torch.set_grad_enabled(learning):
        together = backbone.predict_target(latent, times, backbone.encode_text(texts, learnt))
        for row, text in enumerate(texts):
            own = latent[[row]], times[[row]], backbone.encode_text([text], learnt)
            torch.testing.assert_close(together[[row]], backbone.predict_target(*own), rtol=1e-4, atol=1e-4)
        assert not torch.equal(
            *backbone.predict_target(latent[[0, 0]], times[[0, 0]], backbone.encode_text(texts, learnt))
        )
    with pytest.raises(ValueError, match="one text for all pictures"):
        backbone.encode_text([texts[0], "a photo of cat"], learnt)


def test_tokens_of_another_family_are_refused(made, parts_of, run):
    with pytest.raises(ValueError, match="this model needs qwen3_4b"):
        run("EncodeConceptPrompt", clip=parts_of("z_image")["clip"], tokens=made("flux"), text="a <red>")


@pytest.mark.parametrize("method", ["break_a_scene", "attencraft"])
def test_a_method_that_changes_the_model_refuses_lumina_2_by_name(learn, pack, method):
    """One matrix holds its queries and fewer keys and values, of which ComfyUI's loader reads no part alone."""
    refused = pack("host.adapters").UnsupportedModelError
    with pytest.raises(refused, match=r"attention weights cannot be trained on Lumina 2 in ComfyUI.*supported are"):
        learn("lumina2", method=method)


def test_a_text_encoder_whose_table_was_never_tried_is_refused_by_name(pack):
    class Stand:
        cond_stage_model = type("Flux2TEModel", (), {"__module__": "comfy.text_encoders.flux", "gemma_9b": "one"})()

    refused = pack("host.adapters").UnsupportedModelError
    with pytest.raises(refused, match=r"this FLUX.2: its CLIP has none .* mistral3_24b, qwen3_4b, qwen3_8b; load one"):
        pack("host.comfy.parts").encoder_names(Stand())
