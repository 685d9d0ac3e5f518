"""Erasures as LoRA files."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from concept_atelier.core import files
from concept_atelier.core.types import Erasure, LowRank


def erasure_of(strength):
    generator = torch.Generator().manual_seed(0)
    factor = LowRank(torch.randn(6, 2, generator=generator), torch.randn(2, 5, generator=generator))
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    return Erasure({name: factor}, strength, "lab", {"concepts": '["cat"]'})


def test_a_lora_file_has_kohyas_names_and_the_strength_inside(tmp_path):
    erasure = erasure_of(-0.5)
    files.save_lora(tmp_path / "no_cat.safetensors", erasure)
    tensors, metadata = files.load_tensors(tmp_path / "no_cat.safetensors")
    key = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    assert set(tensors) == {f"{key}.lora_up.weight", f"{key}.lora_down.weight", f"{key}.alpha"}
    assert tensors[f"{key}.alpha"] == 2
    (factor,) = erasure.factors.values()
    change = tensors[f"{key}.lora_up.weight"] @ tensors[f"{key}.lora_down.weight"]
    torch.testing.assert_close(change, -0.5 * factor.dense())
    assert metadata["concepts"] == '["cat"]' and metadata["strength"] == "-0.5"


@pytest.mark.parametrize("strength", [1.0, -0.7])
def test_diffusers_loads_the_lora_and_predicts_what_the_patched_model_predicts(
    tmp_path, lab_backbone, lab_model, lab_clip, lab_modules, strength
):
    from diffusers.loaders import StableDiffusionLoraLoaderMixin

    from concept_atelier.core.erase.methods.uce import METHOD
    from concept_atelier.host.adapters import backbone_of
    from concept_atelier.host.shared.weights.weight_patches import WeightPatch

    erasure = METHOD.erase(lab_backbone, ["cat"], "dog", ["crab"], METHOD.preset("small"), strength)
    files.save_lora(tmp_path / "no_cat.safetensors", erasure)
    other = deepcopy(lab_modules.unet)
    loader = StableDiffusionLoraLoaderMixin
    state, alphas = loader.lora_state_dict(tmp_path, weight_name="no_cat.safetensors")
    loader.load_lora_into_unet(state, alphas, other)

    latent = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(1))
    conditioning, timestep = lab_backbone.encode_text(["a photo of a cat", "a dog"]), torch.tensor([500, 20])
    with torch.no_grad():
        expected = backbone_of(lab_model.with_patch(WeightPatch(erasure.factors, strength)), lab_clip).predict_noise(
            latent, timestep, conditioning
        )
        plain = lab_backbone.predict_noise(latent, timestep, conditioning)
        loaded = other(latent, timestep, conditioning.context).sample
    torch.testing.assert_close(loaded, expected, atol=1e-5, rtol=1e-5)
    assert (expected - plain).abs().max() > 1e-3


@pytest.mark.parametrize("method", ["esd", "few_shot"])
def test_a_pipeline_of_diffusers_loads_what_was_trained(tmp_path, lab_backbone, lab_modules, method):
    """All of the attention to the text, or the text encoder: the very change that the model has with it."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    from concept_atelier.core.erase.registry import METHODS

    preset = METHODS[method].preset("paper")
    rank = {"rank": 2, "retain_batch": 1, "drawn": 1} if method == "few_shot" else {}
    settings = replace(preset, steps=1, rate=0.1, side=64, sampling_steps=2, **rank)
    erasure = METHODS[method].erase(lab_backbone, ["cat"], settings=settings)
    files.save_lora(tmp_path / "trained.safetensors", erasure)
    pipeline = StableDiffusionPipeline(
        vae=None,
        text_encoder=deepcopy(lab_modules.text_encoder),
        tokenizer=None,
        unet=deepcopy(lab_modules.unet),
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.load_lora_weights(tmp_path, weight_name="trained.safetensors")
    changed = pipeline.unet if erasure.factors else pipeline.text_encoder
    layers = {name: layer for name, layer in changed.named_modules() if hasattr(layer, "get_delta_weight")}
    changes = erasure.factors or erasure.text["clip_l"]
    assert len(layers) == len(changes)
    for name, change in changes.items():
        (layer,) = (one for path, one in layers.items() if path.endswith(name.removesuffix(".weight")))
        torch.testing.assert_close(layer.get_delta_weight(*layer.active_adapters), change.dense())


@pytest.mark.parametrize(
    ("encoder", "family", "start"),
    [("clip_l", "sd15", "te"), ("clip_h", "sd2", "te"), ("clip_l", "sdxl", "te1"), ("clip_g", "sdxl", "te2")],
)
def test_keys_of_text_encoders_are_kohyas(encoder, family, start):
    base = f"lora_{start}_text_model_encoder_layers_3_self_attn_out_proj"
    assert files.text_key(encoder, "encoder.layers.3.self_attn.out_proj.weight", family) == base
    assert files.text_key(encoder, "encoder.layers.3.self_attn.out_proj.bias", family) == f"{base}.bias"


@pytest.mark.parametrize(("factors", "said"), [({}, "changes no weight"), ({"a.weight": torch.nan}, "not finite")])
def test_an_erasure_that_no_lora_can_hold_is_refused(factors, said):
    changes = {name: LowRank(torch.full((2, 1), value), torch.ones(1, 3)) for name, value in factors.items()}
    with pytest.raises(ValueError, match=said):
        files.lora_tensors(Erasure(changes, 1.0, "lab"))
