"""Weights of a ComfyUI model: reading those in force, and changing them by patches. Nothing is written to."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...core.attention.selection import Kind
from ...core.backbone import AttentionWeight, KeyValueWeight
from ...core.messages import listed
from ...core.types import Change, Erasure, LowRank
from ..shared.unet_layouts import ROLES
from .names import PREFIX, attention_keys, cross_attention_keys


def key_value_weights(patcher: Any) -> tuple[KeyValueWeight, ...]:
    """The cross-attention projections in force on this MODEL, by diffusers' names, in the order they run.

    In force are the stored weights and the patches that the MODEL carries at this place in the graph (LoRAs, merges,
    earlier erasures), at float32, before the rounding that loading does. Weights without a patch are those of the
    model itself, in their own type: not to be written to. LoRAs that hang on a conditioning by hooks are not seen.
    """
    held = patcher.get_key_patches(PREFIX)
    return tuple(
        KeyValueWeight(name, "key" if ".to_k." in name else "value", _in_force(held[key], key))
        for name, key in cross_attention_keys(patcher).items()
    )


def attention_weights(patcher: Any) -> tuple[AttentionWeight, ...]:
    """The attention projections of this MODEL by diffusers' names, in the order they run."""
    state = patcher.model.state_dict()
    return tuple(_described(name, tuple(state[key].shape)) for name, key in attention_keys(patcher).items())


def with_erasure(patcher: Any, erasure: Erasure) -> Any:
    """A clone with the erasure as a weight patch; raises as :func:`with_changes` does."""
    return with_changes(
        patcher, erasure.factors, erasure.strength, f"the erasure was made for another model ({erasure.family})"
    )


def with_changes(patcher: Any, factors: Mapping[str, Change], strength: float, foreign: str) -> Any:
    """A clone with changes as weight patches, computed where and when the weights are loaded.

    Raises ``ValueError``, beginning with ``foreign``, for factors that name no weight of this model or do not fit it;
    and for such as the patcher did not accept.
    """
    import comfy.lora

    keys = attention_keys(patcher)
    _check(factors, keys, patcher, foreign)
    clone = patcher.clone()
    if strength == 0:
        return clone
    tensors = {f"{keys[name]}.{part}": one for name, f in factors.items() for part, one in _halves(f).items()}
    patches = comfy.lora.load_lora(tensors, {keys[name]: keys[name] for name in factors})
    refused = {keys[name] for name in factors} - set(clone.add_patches(patches, strength))
    if refused:
        raise ValueError(f"ComfyUI did not take the change of {len(refused)} weights: {listed(sorted(refused)[:3])}")
    return clone


def _in_force(entry: list[Any], key: str) -> Tensor:
    """The weight of a ``get_key_patches`` entry: (stored, conversion), then patches."""
    import comfy.lora
    import comfy.model_management

    (stored, convert), *patches = entry
    if not patches:
        return convert(stored, inplace=False).detach()
    copied = comfy.model_management.cast_to_device(stored, stored.device, torch.float32, copy=True)
    return comfy.lora.calculate_weight(patches, convert(copied, inplace=True), key).detach()


def _described(name: str, shape: tuple[int, ...]) -> AttentionWeight:
    kind: Kind = "self" if ".attn1." in name else "cross"
    role = next(role for role, layer in ROLES.items() if name.endswith(f".{layer}.weight"))
    return AttentionWeight(name, kind, role, (shape[0], shape[1]))


def _halves(factor: Change) -> dict[str, Tensor]:
    if not isinstance(factor, LowRank):
        return {"diff": factor.dense().detach().cpu()}
    return {"lora_up.weight": factor.up.detach().cpu(), "lora_down.weight": factor.down.detach().cpu()}


def _check(factors: Mapping[str, Change], keys: Mapping[str, str], patcher: Any, foreign: str) -> None:
    """ComfyUI only logs a change that does not fit, and leaves it out: so it is looked at here."""
    unknown = [name for name in factors if name not in keys]
    if unknown:
        raise ValueError(f"{foreign}: this one has no {listed(unknown[:3])}")
    state = patcher.model.state_dict()
    shapes = {name: tuple(state[key].shape) for name, key in keys.items()}
    for name, factor in factors.items():
        if factor.shape != shapes[name]:
            raise ValueError(f"{foreign}: {name} is {shapes[name]} here and {factor.shape} there")
