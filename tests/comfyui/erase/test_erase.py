"""Erase Concepts as a weight patch inside ComfyUI, and its file in the stock LoRA loader and in diffusers."""

import pytest
import torch

FAMILIES = ("lab", "sd15", "sd2", "sdxl")


@pytest.fixture
def erase(run):
    """Erase Concepts: MODEL and ERASURE. Random weights tell concepts apart by little: so damping is low."""

    def go(parts, **changes):
        plain = {"model": parts["model"], "clip": parts["clip"], "concepts": "cat", "damping": 0.01}
        return run("EraseConcepts", **(plain | changes))

    return go


@pytest.fixture
def sample(stock):
    def go(parts, model=None, text="a cat"):
        texts = [stock("CLIPTextEncode", clip=parts["clip"], text=words)[0] for words in (text, "")]
        settings = {"seed": 5, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
        latent = {"samples": torch.zeros(1, 4, 8, 12)}
        given = {"model": model or parts["model"], "positive": texts[0], "negative": texts[1], "latent_image": latent}
        return stock("KSampler", **given, **settings)[0]["samples"]

    return go


@pytest.fixture
def weights(pack):
    """The projections in force on a MODEL, by diffusers' names, float64."""

    def go(model):
        with torch.inference_mode():
            found = pack("host.comfy.weights").key_value_weights(model)
        return {weight.name: weight.weight.double() for weight in found}

    return go


@pytest.fixture
def lora(run, stock):
    """An erasure through its file and the stock loader."""

    def go(erasure, model, strength=1.0, name="atelier/erased"):
        run("SaveErasureAsLora", erasure=erasure, name=name)
        given = {"lora_name": f"{name}.safetensors", "strength_model": strength}
        return stock("LoraLoaderModelOnly", model=model, **given)[0]

    return go


def far(one, other):
    """The largest difference, relative to the largest value of the second."""
    return float((one - other).abs().max() / other.abs().max())


@pytest.mark.parametrize("family", FAMILIES)
def test_bypass_is_an_exact_undo(parts_of, erase, sample, family):
    parts = parts_of(family)
    state = parts["model"].model.state_dict()
    before = {name: weight.clone() for name, weight in state.items()}
    plain = sample(parts)
    erased, erasure, _ = erase(parts)
    assert far(sample(parts, erased), plain) > 1e-3
    assert erasure.family == family and len(erasure.factors) >= 14
    assert torch.equal(sample(parts), plain)
    assert all(torch.equal(weight, before[name]) for name, weight in parts["model"].model.state_dict().items())
    assert not parts["model"].patches


def test_strength_is_linear_and_nothing_at_zero(parts_of, erase, sample, weights):
    parts = parts_of("sdxl")
    base = weights(parts["model"])
    changes = {s: weights(erase(parts, strength=s)[0]) for s in (1.0, 0.5, -2.0)}
    for name, weight in base.items():
        whole = changes[1.0][name] - weight
        assert whole.abs().max() > 0
        for strength in (0.5, -2.0):
            assert (changes[strength][name] - weight - strength * whole).abs().max() < 1e-6
    assert torch.equal(sample(parts, erase(parts, strength=0.0)[0]), sample(parts))


def test_the_model_reads_the_concept_as_its_anchor(parts_of, erase, weights, pack):
    """What the method promises of every projection, on the weights that ComfyUI computes with."""
    parts = parts_of("sd15")
    erased, *_ = erase(parts, anchors="dog", preset="paper", damping=0.001)
    backbone = pack("host.adapters").backbone_of(**parts)
    with torch.inference_mode():
        cat, dog = (backbone.encode_text([text]).context[0].double() for text in ("cat", "dog"))
        base, now = weights(parts["model"]), weights(erased)
    for name, weight in now.items():
        wanted = base[name] @ dog[1]
        assert far(weight @ cat[1], wanted) < 0.01 < far(base[name] @ cat[1], wanted)


def test_it_stacks_with_loras_and_is_solved_over_them(parts_of, erase, lora, sample, weights):
    parts = parts_of("sd15")
    plain = sample(parts)
    with_lora = lora(erase(parts, concepts="dog")[1], parts["model"], strength=0.7, name="other")
    current = weights(with_lora)
    both, erasure, _ = erase({**parts, "model": with_lora})
    alone = erase(parts)[1]
    for name, weight in weights(both).items():
        factor = erasure.factors[name]
        assert far(weight - current[name], (factor.up @ factor.down).double()) < 1e-4
    name = next(iter(erasure.factors))
    assert far(erasure.factors[name].up @ erasure.factors[name].down, alone.factors[name].dense()) > 1e-3
    later = lora(erase(parts, concepts="dog")[1], erase(parts)[0], strength=0.7, name="other")
    assert far(sample(parts, later), plain) > 1e-3 and far(sample(parts, both), plain) > 1e-3
    assert torch.equal(sample(parts), plain)


def test_half_precision_weights(build, erase, weights, pack, comfyui):
    """As checkpoints are stored: the change is computed at float32 and rounded once, when weights are loaded."""
    parts = build("sd15", dtype=torch.float16)._asdict()
    erased, erasure, _ = erase(parts)
    base, now = weights(parts["model"]), weights(erased)
    for name, factor in erasure.factors.items():
        assert far(now[name] - base[name], factor.dense().double()) < 1e-3


@pytest.mark.parametrize(("family", "strength"), [("lab", 1.0), ("sd15", 1.0), ("sd2", -0.7), ("sdxl", 1.0)])
def test_the_file_in_the_stock_loader(parts_of, erase, lora, sample, family, strength):
    parts = parts_of(family)
    erased, erasure, _ = erase(parts, strength=strength)
    loaded = lora(erasure, parts["model"])
    wanted = sample(parts, erased)
    assert far(sample(parts, loaded), wanted) < 1e-4 < far(sample(parts), wanted)
    assert sorted(loaded.patches) == sorted(erased.patches)


@pytest.mark.parametrize("family", ["sd15", "sd2", "sdxl"])
def test_the_file_in_diffusers(parts_of, erase, run, comfy_base, family):
    """``load_lora_weights`` on the same UNet there: the same prediction."""
    parts = parts_of(family)
    erased, erasure, _ = erase(parts)
    run("SaveErasureAsLora", erasure=erasure, name=f"for_diffusers_{family}")
    unet, pipeline = diffusers_twin(parts["model"], family)
    given = inputs(parts["model"], family)
    assert far(theirs(unet, given), ours(parts["model"], given)) < 1e-4
    pipeline.load_lora_weights(str(comfy_base / f"models/loras/for_diffusers_{family}.safetensors"))
    wanted = ours(erased, given)
    assert far(theirs(unet, given), wanted) < 1e-4 < far(ours(parts["model"], given), wanted)


def test_an_erasure_of_another_model_is_refused(parts_of, erase, pack):
    erasure = erase(parts_of("sdxl"))[1]
    apply = pack("host.adapters").with_erasure
    with pytest.raises(ValueError, match="made for another model \\(sdxl\\)"):
        apply(parts_of("sd15")["model"], erasure)
    with pytest.raises(ValueError, match="made for another model \\(sd15\\).* is \\(64, 192\\) here"):
        apply(parts_of("lab")["model"], erase(parts_of("sd15"))[1])


def diffusers_twin(model, family):
    """A diffusers UNet with the very weights of a small MODEL, and a pipeline around it."""
    import comfy.model_management as management
    import comfy.utils
    from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel

    management.load_models_gpu([model])  # else the weights are those of the clone that ran last
    config = model.model.model_config.unet_config
    heads = 4 if family == "sd15" else (4, 8)
    shape = {"block_out_channels": (64, 128), "layers_per_block": 1, "cross_attention_dim": config["context_dim"]}
    shape |= {"attention_head_dim": heads, "use_linear_projection": family != "sd15"}
    shape |= {"down_block_types": ("CrossAttnDownBlock2D",) * 2, "up_block_types": ("CrossAttnUpBlock2D",) * 2}
    if family == "sdxl":
        shape |= {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "transformer_layers_per_block": (1, 2)}
        shape |= {"up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "addition_embed_type": "text_time"}
        shape |= {"addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": config["adm_in_channels"]}
    unet = UNet2DConditionModel(**shape).eval()
    names, state = comfy.utils.unet_to_diffusers(config), model.model.diffusion_model.state_dict()
    unet.load_state_dict({name: state[names[name]].clone() for name in unet.state_dict()})
    parts = dict.fromkeys(("vae", "text_encoder", "tokenizer")) | {"unet": unet, "scheduler": DDIMScheduler()}
    if family == "sdxl":
        return unet, StableDiffusionXLPipeline(**parts, text_encoder_2=None, tokenizer_2=None)
    extra = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return unet, StableDiffusionPipeline(**parts, **extra)


def inputs(model, family):
    generator = torch.Generator().manual_seed(0)
    width = model.model.model_config.unet_config["context_dim"]
    given = {"x": torch.randn(1, 4, 8, 12, generator=generator), "t": torch.tensor([321.0])}
    given["context"] = torch.randn(1, 77, width, generator=generator)
    if family == "sdxl":
        given["pooled"] = torch.randn(1, 64, generator=generator)
        given["sizes"] = torch.tensor([[64.0, 96.0, 0.0, 8.0, 64.0, 96.0]])
    return given


def ours(model, given):
    """What ComfyUI's UNet makes of it, with the MODEL's patches in force."""
    import comfy.model_management as management

    management.load_models_gpu([model])
    y = None
    if "pooled" in given:
        y = torch.cat([given["pooled"], model.model.embedder(given["sizes"][0]).flatten()[None]], 1)
    with torch.inference_mode():
        return model.model.diffusion_model(given["x"], given["t"], context=given["context"], y=y)


def theirs(unet, given):
    added = {"text_embeds": given["pooled"], "time_ids": given["sizes"]} if "pooled" in given else None
    with torch.no_grad():
        return unet(given["x"], given["t"], given["context"], added_cond_kwargs=added).sample


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_related_words_and_an_erasure_by_them_come_from_comfyuis_own_vocabulary(parts_of, run, pack, erase, family):
    parts = parts_of(family)
    found = pack("host.adapters").backbone_of(clip=parts["clip"]).vocabulary()
    assert len(found.words) > 1000 and "cat" in found.words
    place = found.words.index("cat")
    own = pack("host.adapters").backbone_of(clip=parts["clip"]).word_vectors("cat")
    assert all(torch.equal(found.vectors[name][place].cpu(), rows[0].float().cpu()) for name, rows in own.items())
    given = {"clip": parts["clip"], "words": "cat", "count": 2, "least_likeness": -1.0, "leave_out": ""}
    (words, *_) = run("SuggestRelatedWords", **given, with_words=True)
    assert words.splitlines()[0] == "cat" and len(words.splitlines()) == 3
    assert erase(parts, concepts=words)[1].factors


def test_a_saved_erasure_is_loaded_for_its_model_alone(parts_of, run, erase, sample):
    parts = parts_of("sd15")
    erased, erasure, _ = erase(parts)
    run("SaveErasureAsLora", erasure=erasure, name="atelier/again")
    loaded, _ = run("LoadErasure", model=parts["model"], name="atelier/again", strength=1.0)[:2]
    assert torch.equal(sample(parts, loaded), sample(parts, erased))
    with pytest.raises(ValueError, match="was made on another model"):
        run("LoadErasure", model=erase(parts, concepts="dog", strength=4.0)[0], name="atelier/again", strength=1.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_changed_text_encoder_is_a_patch_that_the_stock_loader_reads_too(parts_of, run, stock, family):
    """HiRM in every text encoder of the family; undone to the bit, and the same from its file."""
    parts = parts_of(family)

    def encoded(clip):
        return stock("CLIPTextEncode", clip=clip, text="a cat")[0][0][0]

    state = parts["clip"].patcher.model.state_dict()
    before = {name: weight.clone() for name, weight in state.items() if "layers.0." in name}
    plain = encoded(parts["clip"])
    given = {"model": parts["model"], "clip": parts["clip"], "concepts": "cat", "method": "hirm", "preset": "small"}
    model, erasure, clip = run("EraseConcepts", **given, settings="steps=2, rate=0.01, retain=0")
    assert model is parts["model"] and set(erasure.text) == {"sdxl": {"clip_l", "clip_g"}}.get(
        family, {"clip_h" if family == "sd2" else "clip_l"}
    )
    changed = encoded(clip)
    assert far(changed, plain) > 1e-3
    assert torch.equal(encoded(parts["clip"]), plain)
    run("SaveErasureAsLora", erasure=erasure, name="atelier/misled")
    lora = {"lora_name": "atelier/misled.safetensors", "strength_model": 1.0, "strength_clip": 1.0}
    assert torch.equal(encoded(stock("LoraLoader", model=parts["model"], clip=parts["clip"], **lora)[1]), changed)
    assert torch.equal(
        encoded(run("LoadErasure", **{k: parts[k] for k in ("model", "clip")}, name="atelier/misled")[2]), changed
    )
    assert torch.equal(encoded(run("EraseConcepts", **given, settings="steps=2, retain=0", strength=0.0)[2]), plain)
    now = parts["clip"].patcher.model.state_dict()
    assert all(torch.equal(now[name], weight) for name, weight in before.items())


OF_TRAINING = {
    "esd": "visits=1, retain=1, surgery=1",
    "all_but_one": "visits=1, retain=1, surgery=1",
    "doco": "drawn=1, warm_up=1, batch=1, retain=1, surgery=1",
    "realera_lora": "drawn=1, retain=1, surgery=1",
    "mace_lora": "drawn=1",
}
"""Method to settings that make it quick."""


@pytest.mark.parametrize("method", OF_TRAINING)
@pytest.mark.parametrize("family", ["lab", "sdxl"])
def test_a_trained_erasure_is_a_lora_and_leaves_the_model_as_it_was(parts_of, run, sample, lora, family, method):
    parts = parts_of(family)
    state = parts["model"].model.state_dict()
    before = {name: weight.clone() for name, weight in state.items()}
    plain = sample(parts)
    given = {name: parts[name] for name in ("model", "clip", "vae")} | {"concepts": "cat", "preserve": "dog"}
    given |= {"method": method, "preset": "paper", "steps": 2, "learning_rate": 0.1, "preview_every": 2}
    given |= {"settings": f"side=64, sampling_steps=2, {OF_TRAINING[method]}"}
    trained, erasure, _ = run("TrainErasure", **given)
    drawn = sample(parts, trained)
    assert far(drawn, plain) > 1e-4
    assert torch.equal(sample(parts), plain) and torch.equal(
        sample(parts, run("TrainErasure", **given, strength=0.0)[0]), plain
    )
    torch.testing.assert_close(sample(parts, lora(erasure, parts["model"])), drawn, atol=1e-5, rtol=1e-5)
    assert torch.equal(sample(parts), plain)
    assert all(torch.equal(weight, before[name]) for name, weight in parts["model"].model.state_dict().items())
    assert not parts["model"].patches


@pytest.mark.parametrize("family", ["lab", "sdxl"])
def test_a_trained_text_encoder_is_a_patch_that_the_stock_loader_reads_too(parts_of, run, stock, family):
    """Few-shot unlearning of every text encoder; the user's stay bit-equal."""
    parts = parts_of(family)

    def encoded(clip):
        return stock("CLIPTextEncode", clip=clip, text="a cat")[0][0][0]

    state = parts["clip"].patcher.model.state_dict()
    before, plain = {name: weight.clone() for name, weight in state.items()}, encoded(parts["clip"])
    given = {name: parts[name] for name in ("model", "clip", "vae")} | {"concepts": "cat", "preserve": "dog"}
    given |= {"method": "few_shot", "preset": "paper", "steps": 2, "learning_rate": 0.01, "preview_every": 2}
    given |= {"pictures": torch.rand(2, 64, 64, 3), "settings": "side=64, batch=1, retain=1, rank=2"}
    model, erasure, clip = run("TrainErasure", **given)
    assert model is parts["model"] and set(erasure.text) == {"sdxl": {"clip_l", "clip_g"}}.get(family, {"clip_l"})
    changed = encoded(clip)
    assert far(changed, plain) > 1e-3 and torch.equal(encoded(parts["clip"]), plain)
    run("SaveErasureAsLora", erasure=erasure, name="atelier/unlearnt")
    lora = {"lora_name": "atelier/unlearnt.safetensors", "strength_model": 1.0, "strength_clip": 1.0}
    loaded = stock("LoraLoader", model=parts["model"], clip=parts["clip"], **lora)[1]
    torch.testing.assert_close(encoded(loaded), changed, atol=1e-5, rtol=1e-4)
    assert torch.equal(encoded(run("TrainErasure", **given, strength=0.0)[2]), plain)
    now = parts["clip"].patcher.model.state_dict()
    assert all(torch.equal(now[name], weight) for name, weight in before.items())
