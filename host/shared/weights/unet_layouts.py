"""Names of a UNet's weights: diffusers' and those of the original checkpoints, which ComfyUI keeps."""

import re
from collections.abc import Collection, Iterable, Mapping

from ....core.attention.selection import Role

ROLES: Mapping[Role, str] = {"query": "to_q", "key": "to_k", "value": "to_v", "out": "to_out.0"}
"""What an attention projection is for, to what both layouts call it."""

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
    "class_embedding.linear_1": "label_emb.0.0",
    "class_embedding.linear_2": "label_emb.0.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}


def original_names(keys: Collection[str]) -> dict[str, str]:
    """diffusers' name of each weight of a Stable Diffusion UNet to the original checkpoints' name.

    Raises ``KeyError`` for a key that the layout has no place for.
    """
    levels = 1 + _greatest(r"down_blocks\.(\d+)", keys)
    layers = 1 + _greatest(r"down_blocks\.0\.resnets\.(\d+)", keys)
    attending = {level for level in range(levels) if any(k.startswith(f"up_blocks.{level}.attentions.") for k in keys)}
    prefixes = _block_prefixes(levels, layers, attending)
    return {key: _original_name(key, prefixes) for key in keys}


def _greatest(pattern: str, keys: Iterable[str]) -> int:
    return max((int(match[1]) for key in keys if (match := re.match(pattern, key))), default=-1)


def _block_prefixes(levels: int, layers: int, attending: Collection[int]) -> dict[str, str]:
    """diffusers' module prefixes to the original ones; ``attending`` are the up blocks that have attention."""
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
        place = 2 if level in attending else 1
        names[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{first + layers}.{place}.conv"
    return names


def _original_name(key: str, prefixes: dict[str, str]) -> str:
    parts = key.split(".")
    for length in range(len(parts) - 1, 0, -1):
        prefix = ".".join(parts[:length])
        if prefix in prefixes:
            rest = ".".join(parts[length:])
            if ".resnets." in f".{prefix}.":
                part, kind = rest.rsplit(".", 1)
                rest = f"{RESNET[part]}.{kind}"
            return f"{prefixes[prefix]}.{rest}"
    raise KeyError(f"no place for the UNet key {key!r} in the original layout")
