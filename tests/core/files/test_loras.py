"""Erasures as LoRA files."""

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
    tmp_path, lab_backbone, lab_model, lab_clip, strength
):
    from diffusers.loaders import StableDiffusionLoraLoaderMixin

    from concept_atelier.core.erase.methods.uce import METHOD
    from concept_atelier.host.adapters import backbone_of
    from concept_atelier.host.shared.weights.weight_patches import WeightPatch
    from concept_atelier.lab.model.modules import build_modules

    erasure = METHOD.erase(lab_backbone, ["cat"], "dog", ["crab"], METHOD.preset("small"), strength)
    files.save_lora(tmp_path / "no_cat.safetensors", erasure)
    other = build_modules(seed=0).unet
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


@pytest.mark.parametrize(("factors", "said"), [({}, "changes no weight"), ({"a.weight": torch.nan}, "not finite")])
def test_an_erasure_that_no_lora_can_hold_is_refused(factors, said):
    changes = {name: LowRank(torch.full((2, 1), value), torch.ones(1, 3)) for name, value in factors.items()}
    with pytest.raises(ValueError, match=said):
        files.lora_tensors(Erasure(changes, 1.0, "lab"))
