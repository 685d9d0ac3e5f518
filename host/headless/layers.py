"""Linear layers and convolutions of diffusers' denoisers, as LoRA files call them, and where they are in a pass."""

from typing import Any

import torch

from ...core.compose.parts.layers import Layer, RowsOfPass
from ..shared.weights.layer_edits import LayerPass
from .lora_files import weight_names
from .taps import Forward


def layers_of(denoiser: Any) -> dict[str, Layer]:
    """How keys of LoRA files begin, to the layer that they belong to."""
    state, found = dict(denoiser.named_parameters()), {}
    for base, parameter in weight_names(denoiser).items():
        name, shape = parameter.removesuffix(".weight"), tuple(state[parameter].shape)
        of_unet = ".attn1.to_" in parameter or ".attn2.to_" in parameter
        found[base] = Layer(name, shape, attention=parameter if of_unet else None)
    return found


def layer_pass(running: Forward) -> LayerPass:
    """A pass as edits of layers know it."""
    parts = tuple(
        (torch.tensor([conditional is said for conditional in running.conditional]), said)
        for said in (False, True)
        if said in running.conditional
    )
    return LayerPass(rows_of(running), parts, running.timestep)


def rows_of(running: Forward) -> RowsOfPass:
    """Where rows lie in a pass."""
    if not running.joint:
        return RowsOfPass(running.latent_size)
    height, width = running.latent_size
    length = running.text_length
    return RowsOfPass(running.latent_size, running.latent_size, length, 0, length, height * width)
