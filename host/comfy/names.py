"""Names in ComfyUI's patchers, and the names by which files and the other host know the same weights.

Inside, ComfyUI keeps the layout of the original checkpoints (``diffusion_model.input_blocks.1.1...``). What leaves a
model (erasures, LoRA files) goes by diffusers' names (``down_blocks.0.attentions.0...``), which both hosts read.
"""

from typing import Any

from ..shared.errors import UnsupportedModelError
from ..shared.weights.unet_layouts import ROLES

PREFIX = "diffusion_model."


def is_patcher(model: Any) -> bool:
    """Whether MODEL is one of ComfyUI's patchers (by what it can do: packs bring classes of their own)."""
    return all(hasattr(model, name) for name in ("clone", "add_patches", "get_key_patches", "model_options", "model"))


def cross_attention_keys(patcher: Any) -> dict[str, str]:
    """Diffusers' name of every cross-attention key and value projection to ComfyUI's key, in the order they run.

    For instance ``down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight`` to
    ``diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight``.

    Raises :class:`~..shared.errors.UnsupportedModelError` for models without such projections (no UNet of Stable
    Diffusion).
    """
    return _keys(patcher, (".attn2.to_k.weight", ".attn2.to_v.weight"))


def attention_keys(patcher: Any) -> dict[str, str]:
    """The same of the query, key, value and out projections of self- and cross-attention, in the order they run."""
    endings = tuple(f".{layer}.{part}.weight" for layer in ("attn1", "attn2") for part in ROLES.values())
    return _keys(patcher, endings)


def _keys(patcher: Any, wanted: tuple[str, ...]) -> dict[str, str]:
    import comfy.utils

    config = patcher.model.model_config
    named = {PREFIX + theirs: ours for ours, theirs in comfy.utils.unet_to_diffusers(config.unet_config).items()}
    keys = {named[key]: key for key in patcher.model.state_dict() if key.endswith(wanted) and key in named}
    if not keys:
        raise UnsupportedModelError(
            f"{type(config).__name__} has no cross-attention projections that can be edited; supported are the UNets "
            "of Stable Diffusion 1.x, 2.x and XL and the lab model"
        )
    return keys
