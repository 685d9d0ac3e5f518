"""The file of an erasure: in the stock LoRA loader, in diffusers and in Load Erasure."""

import pytest
import torch


@pytest.mark.parametrize(("family", "strength"), [("lab", 1.0), ("sd15", 1.0), ("sd2", -0.7), ("sdxl", 1.0)])
def test_the_file_in_the_stock_loader(parts_of, erase, lora, sample, family, strength, far):
    parts = parts_of(family)
    erased, erasure, _ = erase(parts, strength=strength)
    loaded = lora(erasure, parts["model"])
    wanted = sample(parts, erased)
    assert far(sample(parts, loaded), wanted) < 1e-4 < far(sample(parts), wanted)
    assert sorted(loaded.patches) == sorted(erased.patches)


@pytest.mark.parametrize("family", ["sd15", "sd2", "sdxl"])
def test_the_file_in_diffusers(parts_of, erase, run, comfy_base, family, far):
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


@pytest.fixture
def train(run):
    """Train Erasure of the preset ``paper`` in one step: MODEL, ERASURE and CLIP."""

    def go(parts, method, settings="", **changes):
        given = {name: parts[name] for name in ("model", "clip", "vae")} | {"concepts": "cat", "method": method}
        given |= {"preset": "paper", "steps": 1, "learning_rate": 0.1, "preview_every": 0}
        return run("TrainErasure", **(given | {"settings": f"side=64, sampling_steps=2{settings}"} | changes))

    return go


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_a_trained_file_in_diffusers(parts_of, train, run, comfy_base, family, far):
    """ESD of the preset ``paper``, which also changes queries and output projections."""
    parts = parts_of(family)
    erased, erasure, _ = train(parts, "esd")
    assert any(".to_out.0." in name for name in erasure.factors) and any(".to_q." in name for name in erasure.factors)
    run("SaveErasureAsLora", erasure=erasure, name=f"trained_{family}")
    unet, pipeline = diffusers_twin(parts["model"], family)
    given = inputs(parts["model"], family)
    pipeline.load_lora_weights(str(comfy_base / f"models/loras/trained_{family}.safetensors"))
    wanted = ours(erased, given)
    assert far(theirs(unet, given), wanted) < 1e-4 < far(ours(parts["model"], given), wanted)


@pytest.mark.parametrize("family", ["sd15", "sd2", "sdxl"])
def test_a_text_encoders_file_in_diffusers_and_in_the_stock_loader(parts_of, train, run, stock, comfy_base, family):
    """Few-shot unlearning as a LoRA: in every text encoder the change that the erasure has."""
    parts = parts_of(family)
    pictures = torch.rand(1, 64, 64, 3)
    _, erasure, clip = train(parts, "few_shot", ", batch=1, rank=2", pictures=pictures)
    run("SaveErasureAsLora", erasure=erasure, name=f"text_{family}")
    lora = {"lora_name": f"text_{family}.safetensors", "strength_model": 1.0, "strength_clip": 1.0}
    loaded = stock("LoraLoader", model=parts["model"], clip=parts["clip"], **lora)[1]
    assert set(loaded.patcher.patches) == set(clip.patcher.patches) and loaded.patcher.patches
    unet, pipeline = diffusers_twin(parts["model"], family)
    towers = text_twins(parts["clip"])
    pipeline.register_modules(**dict(zip(("text_encoder", "text_encoder_2"), towers.values(), strict=False)))
    pipeline.load_lora_weights(str(comfy_base / f"models/loras/text_{family}.safetensors"))
    assert set(erasure.text) == set(towers) and not any(hasattr(one, "get_delta_weight") for one in unet.modules())
    for encoder, changes in erasure.text.items():
        layers = {n: layer for n, layer in towers[encoder].named_modules() if hasattr(layer, "get_delta_weight")}
        assert len(layers) == len(changes)
        for name, change in changes.items():
            (layer,) = (one for path, one in layers.items() if path.endswith(name.removesuffix(".weight")))
            torch.testing.assert_close(layer.get_delta_weight(*layer.active_adapters), change.dense())


def test_an_erasure_of_another_model_is_refused(parts_of, erase, pack):
    erasure = erase(parts_of("sdxl"))[1]
    apply = pack("host.adapters").with_erasure
    with pytest.raises(ValueError, match="made for another model \\(sdxl\\)"):
        apply(parts_of("sd15")["model"], erasure)
    with pytest.raises(ValueError, match="made for another model \\(sd15\\).* is \\(64, 192\\) here"):
        apply(parts_of("lab")["model"], erase(parts_of("sd15"))[1])


def test_a_saved_erasure_is_loaded_for_its_model_alone(parts_of, run, erase, sample):
    parts = parts_of("sd15")
    erased, erasure, _ = erase(parts)
    run("SaveErasureAsLora", erasure=erasure, name="atelier/again")
    loaded, _ = run("LoadErasure", model=parts["model"], name="atelier/again", strength=1.0)[:2]
    assert torch.equal(sample(parts, loaded), sample(parts, erased))
    with pytest.raises(ValueError, match="was made on another model"):
        run("LoadErasure", model=erase(parts, concepts="dog", strength=4.0)[0], name="atelier/again", strength=1.0)


@pytest.mark.parametrize("family", ["lab", "sd15"])
def test_a_trained_erasure_knows_all_weights_that_it_changes(parts_of, train, run, erase, pack, family):
    """A model of which one output projection differs is another; keys and values are the same."""
    parts, types = parts_of(family), pack("core.types")
    erasure = train(parts, "esd")[1]
    run("SaveErasureAsLora", erasure=erasure, name=f"known_{family}")
    given = {"name": f"known_{family}", "strength": 1.0}
    assert run("LoadErasure", model=parts["model"], **given)[1].factors.keys() == erasure.factors.keys()
    name = next(name for name in erasure.factors if ".to_out.0." in name)
    noise = torch.randn(erasure.factors[name].shape, generator=torch.Generator().manual_seed(0))
    other = types.Erasure({name: types.FullChange(0.5 * noise)}, 1.0, erasure.family)
    with pytest.raises(ValueError, match="was made on another model"):
        run("LoadErasure", model=pack("host.adapters").with_erasure(parts["model"], other), **given)


def test_numbers_of_all_weights_name_the_model_and_its_patches(parts_of, erase, sample, pack):
    """Whether the patches are in force at the moment or not, and whatever they change."""
    parts = parts_of("sd15")

    def numbers(model):
        return pack("host.adapters").backbone_of(model=model).weight_numbers()

    plain = numbers(parts["model"])
    assert "diffusion_model.input_blocks.0.0.weight" in plain and len(plain) > 100
    sample(parts)
    assert numbers(parts["model"]) == plain
    erased, other = (erase(parts, strength=strength)[0] for strength in (1.0, 0.5))
    found = numbers(erased)
    assert {name: found[name] for name in plain} == plain and len(found) > len(plain) and numbers(other) != found
    sample(parts, erased)  # now the weights of the module are the patched ones
    assert numbers(erased) == found and numbers(parts["model"]) == plain
    convolution = parts["model"].clone()
    change = 0.1 * torch.ones_like(parts["model"].model.diffusion_model.input_blocks[0][0].weight)
    convolution.add_patches({"diffusion_model.input_blocks.0.0.weight": ("diff", (change,))})
    assert numbers(convolution) != plain


def text_twins(clip):
    """A text encoder of transformers, as wide as each of a CLIP, at weights of its own."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    found = {}
    for key, table in clip.patcher.model.state_dict().items():
        if key.endswith(".token_embedding.weight"):
            encoder, width = key.split(".")[0], table.shape[1]
            size = {"hidden_size": width, "intermediate_size": 4 * width, "projection_dim": width}
            config = CLIPTextConfig(**size, num_hidden_layers=3, num_attention_heads=4)
            found[encoder] = (CLIPTextModelWithProjection if encoder == "clip_g" else CLIPTextModel)(config)
    return found


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
