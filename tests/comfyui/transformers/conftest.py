import pytest
import torch

SIZES = {"num_layers": 1, "num_single_layers": 1, "attention_head_dim": 12, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def both(pack):
    """The same weights in both hosts: handles of the headless runner, and parts of ComfyUI."""
    lab, convert = pack("lab.model.transformer"), pack("lab.model.convert")
    config = {**lab.TRANSFORMER_CONFIG, **SIZES, "axes_dims_rope": (4, 4, 4)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        transformer = lab.build_transformer(config).eval().requires_grad_(False)
        for name, parameter in transformer.named_parameters():
            if not name.startswith(lab.POOLED):
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    modules, native = pack("lab.model.modules").build_modules(seed=1), pack("lab.model.comfy_native")
    headless = pack("lab.model.handles").transformer_handles(transformer, modules)
    with torch.inference_mode():
        parts = {
            "model": native.native_transformer(convert.transformer_to_flux(transformer.state_dict()), config),
            "clip": native.native_clip(convert.text_to_sd15(modules.text_encoder.state_dict())),
            "vae": native.native_vae(modules.vae),
        }
    return headless, parts
