"""The lab model in the key layouts of SD1.5 and FLUX.1 checkpoints, which ComfyUI's model code uses."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from ...host.shared.weights.unet_layouts import original_names
from .modules import LabModules
from .transformer import trained_state


def unet_to_sd15(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A diffusers UNet state dict, keys as in ``model.diffusion_model`` of an SD1.5 checkpoint."""
    names = original_names(state.keys())
    return {names[key]: value for key, value in state.items()}


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


OUTSIDE_BLOCKS = {
    "x_embedder": "img_in",
    "context_embedder": "txt_in",
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
    "proj_out": "final_layer.linear",
}
IN_DOUBLE_BLOCKS = {
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
    "attn.norm_q": "img_attn.norm.query_norm",
    "attn.norm_k": "img_attn.norm.key_norm",
    "attn.norm_added_q": "txt_attn.norm.query_norm",
    "attn.norm_added_k": "txt_attn.norm.key_norm",
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
}
IN_SINGLE_BLOCKS = {
    "norm.linear": "modulation.lin",
    "attn.norm_q": "norm.query_norm",
    "attn.norm_k": "norm.key_norm",
    "proj_out": "linear2",
}
FUSED_IN_DOUBLE_BLOCKS = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
}
FUSED_IN_SINGLE_BLOCKS = {"linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")}


def transformer_to_flux(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A diffusers Flux transformer's state dict, keys as in ``model.diffusion_model`` of a FLUX.1 checkpoint without
    pooled text; layers that one matrix holds there are joined row by row.

    Raises ``KeyError`` for a key that the layout has no place for.
    """
    state = trained_state(dict(state))
    found: dict[str, Tensor] = {}
    joined: dict[str, dict[int, Tensor]] = {}
    for key, value in state.items():
        layer, _, kind = key.rpartition(".")
        prefix, layer, names, fused = _place(layer)
        whole = next((name for name, parts in fused.items() if layer in parts), None)
        if whole is not None:
            joined.setdefault(f"{prefix}{whole}.{kind}", {})[fused[whole].index(layer)] = value
        elif key.startswith("norm_out."):  # diffusers has the scale before the shift
            found[f"{names[layer]}.{kind}"] = torch.cat(value.chunk(2)[::-1])
        else:
            found[f"{prefix}{names[layer]}.{kind}"] = value
    return found | {name: torch.cat([parts[i] for i in sorted(parts)]) for name, parts in joined.items()}


def _place(layer: str) -> tuple[str, str, Mapping[str, str], Mapping[str, tuple[str, ...]]]:
    """The block's prefix in FLUX.1's layout, the layer's name in its block, and the names of the layers there."""
    block = re.match(r"(single_)?transformer_blocks\.(\d+)\.", layer)
    if block is None:
        return "", layer, OUTSIDE_BLOCKS, {}
    inside = layer[block.end() :]
    if block[1]:
        return f"single_blocks.{block[2]}.", inside, IN_SINGLE_BLOCKS, FUSED_IN_SINGLE_BLOCKS
    return f"double_blocks.{block[2]}.", inside, IN_DOUBLE_BLOCKS, FUSED_IN_DOUBLE_BLOCKS
