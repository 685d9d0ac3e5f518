"""The lab model in the key layout of SD1.5 checkpoints, which ComfyUI's model code uses."""

import re

from torch import Tensor

from .modules import LabModules

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
SINGLE = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}


def block_prefixes(levels: int, layers: int) -> dict[str, str]:
    """diffusers' module prefixes to SD1.5's, for a UNet with attention at every level."""
    names = dict(SINGLE)
    for level in range(levels):
        first = 1 + level * (layers + 1)
        for layer in range(layers):
            names[f"down_blocks.{level}.resnets.{layer}"] = f"input_blocks.{first + layer}.0"
            names[f"down_blocks.{level}.attentions.{layer}"] = f"input_blocks.{first + layer}.1"
        names[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{first + layers}.0.op"
        first = level * (layers + 1)
        for layer in range(layers + 1):
            names[f"up_blocks.{level}.resnets.{layer}"] = f"output_blocks.{first + layer}.0"
            names[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{first + layer}.1"
        names[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{first + layers}.2.conv"
    return names


def unet_key(key: str, prefixes: dict[str, str]) -> str:
    """One diffusers UNet key in SD1.5's layout. Raises ``KeyError`` for a key the layout has no place for."""
    parts = key.split(".")
    for length in range(len(parts) - 1, 0, -1):
        prefix = ".".join(parts[:length])
        if prefix in prefixes:
            rest = ".".join(parts[length:])
            if ".resnets." in f".{prefix}.":
                part, kind = rest.rsplit(".", 1)
                rest = f"{RESNET[part]}.{kind}"
            return f"{prefixes[prefix]}.{rest}"
    raise KeyError(f"no place for the UNet key {key!r} in the SD1.5 layout")


def unet_to_sd15(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A diffusers UNet state dict, keys as in ``model.diffusion_model`` of an SD1.5 checkpoint."""
    levels = 1 + max(int(match[1]) for key in state if (match := re.match(r"down_blocks\.(\d+)", key)))
    layers = 1 + max(int(match[1]) for key in state if (match := re.match(r"down_blocks\.0\.resnets\.(\d+)", key)))
    prefixes = block_prefixes(levels, layers)
    return {unet_key(key, prefixes): value for key, value in state.items()}


def text_to_sd15(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A transformers text encoder's state dict, keys as in ``cond_stage_model.transformer`` of an SD1.5 checkpoint."""
    return {f"text_model.{key.removeprefix('text_model.')}": value for key, value in state.items()}


def checkpoint(modules: LabModules) -> dict[str, Tensor]:
    """UNet, text encoder and autoencoder under SD1.5's prefixes; the autoencoder keeps the lab's own keys."""
    unet = unet_to_sd15(modules.unet.state_dict())
    text = text_to_sd15(modules.text_encoder.state_dict())
    state = {f"model.diffusion_model.{key}": value for key, value in unet.items()}
    state |= {f"cond_stage_model.transformer.{key}": value for key, value in text.items()}
    return state | {f"first_stage_model.{key}": value for key, value in modules.vae.state_dict().items()}
