"""Fixtures of picture encoders at random weights."""

import json

import pytest
import torch

VISION = {
    "model_type": "clip_vision_model",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "num_channels": 3,
    "image_size": 56,
    "patch_size": 14,
    "projection_dim": 24,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}


@pytest.fixture(scope="session")
def vision_of(comfyui, tmp_path_factory):
    """A picture encoder of a configuration at random weights, as CLIPVisionLoader would give it."""
    import comfy.clip_vision

    def make(config):
        path = tmp_path_factory.mktemp("vision") / "config.json"
        path.write_text(json.dumps(config))
        vision = comfy.clip_vision.ClipVisionModel(str(path))
        generator = torch.Generator().manual_seed(0)
        with torch.inference_mode():
            state = {
                key: torch.randn(value.shape, generator=generator).to(value.dtype) / max(1, value[0].numel()) ** 0.5
                if value.is_floating_point() and value.ndim > 1
                else torch.ones_like(value)
                if ("norm" in key and key.endswith("weight")) or "lambda" in key
                else value
                if not value.is_floating_point()
                else torch.zeros_like(value)
                for key, value in vision.get_sd().items()
            }
            vision.model.load_state_dict(state)
        return vision

    return make


@pytest.fixture(scope="session")
def stock_vision(vision_of):
    """A small CLIP vision model at random weights, as CLIPVisionLoader would give it."""
    return vision_of(VISION)
