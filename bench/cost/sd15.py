"""Stable Diffusion 1.5 at full size and random weights, by ComfyUI's own checkpoint loader. Inside ComfyUI only."""

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": (1, 2, 4, 4),
    "num_heads": 8,
    "use_spatial_transformer": True,
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1] * 9 + [0] * 3,
    "transformer_depth_middle": 1,
    "context_dim": 768,
    "use_linear_in_transformer": False,
    "legacy": False,
    "adm_in_channels": None,
}
AUTOENCODER = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [],
    "dropout": 0.0,
}


def load() -> tuple[Any, Any, Any]:
    """MODEL, CLIP and VAE, as the stock loader makes them of such a file."""
    import comfy.sd

    state = dict(random_weights())
    model, clip, vae, *_ = comfy.sd.load_state_dict_guess_config(state)
    return model, clip, vae


def skeletons() -> dict[str, nn.Module]:
    """The parts of a checkpoint by the prefix of their keys, without memory."""
    import comfy.clip_model
    import comfy.ops
    import comfy.sd1_clip
    from comfy.ldm.models.autoencoder import AutoencoderKL
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    operations = comfy.ops.disable_weight_init
    text = json.loads(
        Path(inspect.getfile(comfy.sd1_clip)).with_name("sd1_clip_config.json").read_text(encoding="utf-8")
    )
    with torch.device("meta"):
        return {
            "model.diffusion_model.": UNetModel(**UNET, operations=operations),
            "first_stage_model.": AutoencoderKL(ddconfig=AUTOENCODER, embed_dim=4),
            "cond_stage_model.transformer.": comfy.clip_model.CLIPTextModel(text, None, "meta", operations),
        }


def random_weights(seed: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Matrices N(0, 1 / inputs), norms 1, biases 0, embeddings N(0, 0.02)."""
    generator = torch.Generator().manual_seed(seed)
    for prefix, module in skeletons().items():
        for name, meta in module.state_dict().items():
            if not meta.is_floating_point():
                continue
            if meta.ndim < 2:
                yield prefix + name, torch.full(meta.shape, float(name.endswith("weight")))
                continue
            scale = 0.02 if "embedding" in name else meta[0].numel() ** -0.5
            yield prefix + name, torch.randn(meta.shape, generator=generator) * scale
