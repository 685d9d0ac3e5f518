"""The weights by which text enters a denoiser of diffusers, as they are in force."""

from typing import Literal

from torch import Tensor

from ...core.backbone import KeyValueWeight
from ..shared.handles import ModelHandle
from ..shared.weights.weight_patches import patched_weights
from .flux import ENTRY_NAMES, TEXT_ENTRY
from .taps import find_sites

_LAYERS: dict[Literal["key", "value"], str] = {"key": "to_k", "value": "to_v"}


def text_entry_weights(model: ModelHandle) -> tuple[KeyValueWeight, ...]:
    """Of a UNet the keys and values of every cross-attention layer, in the order they run; of a transformer the one
    layer that reads the text."""
    patched = patched_weights(model.unet, model.patches)

    def in_force(name: str) -> Tensor:
        return patched.get(name, model.unet.get_parameter(name).detach())

    if model.flow_sigmas is not None:
        return (KeyValueWeight(TEXT_ENTRY, "text", in_force(ENTRY_NAMES[TEXT_ENTRY])),)
    names = [
        (role, f"{site.name}.{layer}.weight")
        for site in find_sites(model.unet)
        if site.kind == "cross"
        for role, layer in _LAYERS.items()
    ]
    return tuple(KeyValueWeight(name, role, in_force(name)) for role, name in names)
