"""Weights of a ComfyUI model: reading those in force, and changing them by patches. Nothing is written to."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from ...core.attention.selection import Kind
from ...core.backbone import AttentionWeight, KeyValueWeight
from ...core.messages import listed
from ...core.types import Change, Erasure, LowRank
from ..shared.errors import UnsupportedModelError
from ..shared.families import FAMILIES, supported_tuning
from ..shared.weights.lazy_weights import LazyWeights
from ..shared.weights.unet_layouts import ROLES
from .gradients import GGUF
from .names import attention_keys, cross_attention_keys
from .parts import model_family
from .transformers.attention_weights import WeightPart, attention_parts
from .transformers.sites import EntryRole, transformer_entries


def entry_keys(patcher: Any) -> dict[str, tuple[str, EntryRole]]:
    """Name of every weight by which text enters to ComfyUI's key and its role, in the order they run.

    Names are diffusers' for UNets, and those of the checkpoint's layout for transformers. Raises
    :class:`~..shared.errors.UnsupportedModelError` for models without such weights.
    """
    family = FAMILIES[model_family(patcher)]
    if family.transformer is None:
        keys = cross_attention_keys(patcher)
        return {name: (key, "key" if ".to_k." in name else "value") for name, key in keys.items()}
    found = transformer_entries(family, patcher.get_model_object("diffusion_model"))
    if all(role == "pooled" for _, role in found.values()):
        raise UnsupportedModelError(
            f"no concept can be erased from this {family.title}: it has no layer "
            f"{' or '.join(family.text_entry)}, by which text enters other models of its kind; load another checkpoint"
        )
    return found


def changeable_keys(patcher: Any) -> dict[str, str]:
    """Name to ComfyUI's key of every weight that an erasure or an adapter may change."""
    family = FAMILIES[model_family(patcher)]
    if family.transformer is None:
        return attention_keys(patcher)
    entries = transformer_entries(family, patcher.get_model_object("diffusion_model"))
    of_parts = {name: part.key for name, part in attention_parts(family, patcher).items()}
    return {name: key for name, (key, _) in entries.items()} | of_parts


def changeable_shapes(patcher: Any) -> dict[str, tuple[int, int]]:
    """Name to shape of every weight that an erasure or an adapter may change."""
    import comfy.utils

    parts, shapes = attention_parts(FAMILIES[model_family(patcher)], patcher), {}
    for name, key in changeable_keys(patcher).items():
        # Of the weights themselves: a state dict holds quantised ones in pieces, packed.
        rows, columns = parts[name].shape if name in parts else comfy.utils.get_attr(patcher.model, key).shape
        shapes[name] = rows, columns
    return shapes


def key_value_weights(patcher: Any) -> tuple[KeyValueWeight, ...]:
    """The weights in force on this MODEL by which text enters, in the order they run.

    In force are the stored weights and the patches that the MODEL carries at this place in the graph (LoRAs, merges,
    earlier erasures), at float32, before the rounding that loading does. Weights without a patch are those of the
    model itself, in their own type: not to be written to. LoRAs that hang on a conditioning by hooks are not seen.
    """
    return tuple(
        KeyValueWeight(name, role, in_force(patcher, key)) for name, (key, role) in entry_keys(patcher).items()
    )


def attention_weights(patcher: Any) -> tuple[AttentionWeight, ...]:
    """The attention projections of this MODEL, in the order they run.

    Raises :class:`~..shared.errors.UnsupportedModelError` for transformers of which no changes are learnt.
    """
    family = FAMILIES[model_family(patcher)]
    parts = attention_parts(family, patcher)
    if parts:
        return tuple(AttentionWeight(name, part.kind, part.role, part.shape) for name, part in parts.items())
    if family.transformer is not None:
        raise UnsupportedModelError(
            f"attention weights cannot be trained on {family.title} in ComfyUI; train the weights by which its text "
            "enters (layers=text in the settings of Train Erasure), choose a method that erases in closed form, or "
            f"connect another model; {supported_tuning()}"
        )
    state = patcher.model.state_dict()
    return tuple(_described(name, tuple(state[key].shape)) for name, key in attention_keys(patcher).items())


def attention_tensors(patcher: Any) -> LazyWeights:
    """The attention projections in force on this MODEL, by name; none for transformers of which no changes are learnt.

    The weight that was read last is kept: queries, keys and values of a transformer are often rows of one.
    """
    family = FAMILIES[model_family(patcher)]
    read = lru_cache(maxsize=1)(partial(in_force, patcher))
    if family.transformer is None:
        return LazyWeights({name: partial(read, key) for name, key in attention_keys(patcher).items()})
    parts = attention_parts(family, patcher)
    return LazyWeights({name: partial(_rows_of, read, part) for name, part in parts.items()})


def _rows_of(read: Callable[[str], Tensor], part: WeightPart) -> Tensor:
    return read(part.key)[part.start : part.start + part.shape[0]]


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

    keys, parts = changeable_keys(patcher), attention_parts(FAMILIES[model_family(patcher)], patcher)
    _check(factors, changeable_shapes(patcher), foreign)
    clone = patcher.clone()
    if strength == 0:
        return clone
    tensors = {f"{name}.{half}": one for name, f in factors.items() for half, one in _halves(f).items()}
    targets = {name: parts[name].target if name in parts else keys[name] for name in factors}
    patches = comfy.lora.load_lora(tensors, targets)
    refused = set(targets.values()) - set(clone.add_patches(patches, strength))
    if refused:
        names = sorted(map(str, refused))
        raise ValueError(f"ComfyUI did not take the change of {len(names)} weights: {listed(names[:3])}")
    return clone


def in_force(patcher: Any, key: str) -> Tensor:
    """A weight as it was loaded, out of its quantisation, and the patches on it.

    ``get_key_patches`` says the same of all weights, but fails for models with quantised ones (0.33.0).
    """
    import comfy.lora
    import comfy.model_management
    from comfy.model_patcher import get_key_weight

    held, _, convert = get_key_weight(patcher.model, key)
    if key in patcher.backup:
        held = patcher.backup[key].weight
    if key in patcher.hook_backup:
        held = patcher.hook_backup[key][0]
    if hasattr(held, "tensor_type"):
        raise UnsupportedModelError(GGUF)
    patches = patcher.patches.get(key, ())
    if not patches:
        return (held if convert is None else convert(held, inplace=False)).detach()
    copied = comfy.model_management.cast_to_device(held, held.device, torch.float32, copy=True)
    plain = copied if convert is None else convert(copied, inplace=True)
    return comfy.lora.calculate_weight(list(patches), plain, key).detach()


def _described(name: str, shape: tuple[int, ...]) -> AttentionWeight:
    kind: Kind = "self" if ".attn1." in name else "cross"
    role = next(role for role, layer in ROLES.items() if name.endswith(f".{layer}.weight"))
    return AttentionWeight(name, kind, role, (shape[0], shape[1]))


def _halves(factor: Change) -> dict[str, Tensor]:
    if not isinstance(factor, LowRank):
        return {"diff": factor.dense().detach().cpu()}
    return {"lora_up.weight": factor.up.detach().cpu(), "lora_down.weight": factor.down.detach().cpu()}


def _check(factors: Mapping[str, Change], shapes: Mapping[str, tuple[int, int]], foreign: str) -> None:
    """ComfyUI only logs a change that does not fit, and leaves it out: so it is looked at here."""
    unknown = [name for name in factors if name not in shapes]
    if unknown:
        raise ValueError(f"{foreign}: this one has no {listed(unknown[:3])}")
    for name, factor in factors.items():
        if factor.shape != shapes[name]:
            raise ValueError(f"{foreign}: {name} is {shapes[name]} here and {factor.shape} there")
