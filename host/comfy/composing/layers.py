"""Linear layers and convolutions of ComfyUI's denoisers, as LoRA files call them."""

from typing import Any

from ....core.compose.parts.layers import Layer
from ...shared.families import FAMILIES
from ..names import PREFIX, attention_keys
from ..parts import model_family


def layers_of(patcher: Any) -> dict[str, Layer]:
    """How keys of LoRA files begin, to the layer that they belong to, by ComfyUI's own table of names."""
    import comfy.lora

    weights = dict(patcher.get_model_object("diffusion_model").named_parameters())
    of_unet = FAMILIES[model_family(patcher)].transformer is None
    projections = {key: name for name, key in attention_keys(patcher).items()} if of_unet else {}
    found = {}
    for base, target in comfy.lora.model_lora_keys_unet(patcher.model, {}).items():
        key, rows, *turned = target if isinstance(target, tuple) else (target, None)
        if turned:  # a modulation whose halves files have the other way round
            continue
        weight = weights.get(key.removeprefix(PREFIX))  # the table also names layers that this model leaves out
        if weight is None or not key.endswith(".weight"):
            continue
        shape = tuple(int(side) for side in weight.shape)
        name = key.removeprefix(PREFIX).removesuffix(".weight")
        dimension, start, size = rows or (0, 0, None)
        if dimension == 0:
            found[base] = Layer(name, shape, start, size, projections.get(key))
    return found
