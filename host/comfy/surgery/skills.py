"""Skills on ComfyUI's models: all weights in force, and sparse changes of them as weight patches.

A change stays sparse until its weight is loaded: it is put into a copy of that weight then, and no dense difference of
the model is ever held. Patches of LoRA loaders lie on the same weights before and after.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from ....core.messages import listed
from ....core.surgery.skill import TEXT
from ....core.surgery.sparse import SparseChange, size_of
from ...shared.families import FAMILIES
from ...shared.weights.lazy_weights import LazyWeights
from ..names import PREFIX
from ..parts import model_family
from ..text.weights import text_keys
from ..transformers.attention_weights import attention_parts
from ..weights import in_force


def model_keys(patcher: Any) -> dict[str, str]:
    """Name to ComfyUI's key of every weight of the denoiser: of UNets by the names of diffusers, of transformers by
    those of the checkpoint's layout."""
    import comfy.utils

    keys = [key for key, held in patcher.model.state_dict().items() if key.startswith(PREFIX) and _is_plain(held)]
    if FAMILIES[model_family(patcher)].transformer is not None:
        return {key.removeprefix(PREFIX): key for key in keys}
    config = patcher.model.model_config.unet_config
    named = {PREFIX + theirs: ours for ours, theirs in comfy.utils.unet_to_diffusers(config).items()}
    return {named.get(key, key.removeprefix(PREFIX)): key for key in keys}


def model_weights(patcher: Any) -> LazyWeights:
    """Every weight of the denoiser in force; those that are stored quantised are left out."""
    return LazyWeights({name: partial(in_force, patcher, key) for name, key in model_keys(patcher).items()})


def clip_weights(clip: Any) -> LazyWeights:
    """The weights in force of every layer of CLIP text encoders, by the names that skills have for them."""
    readers = {
        f"{TEXT}{encoder}.{name}": partial(in_force, clip.patcher, key)
        for (encoder, name), key in text_keys(clip).items()
    }
    return LazyWeights(readers)


def attention_places(patcher: Any) -> dict[str, tuple[str, int]]:
    """Name of every attention projection that is rows of a weight, to the weight's name in skills and its first row."""
    parts = attention_parts(FAMILIES[model_family(patcher)], patcher)
    return {name: (part.key.removeprefix(PREFIX), part.start) for name, part in parts.items()}


def with_sparse(patcher: Any, changes: Mapping[str, SparseChange], strength: float) -> Any:
    """A clone with sparse changes in force. Raises ``ValueError`` for names or sizes that this model does not have."""
    keys = model_keys(patcher)
    return _patched(patcher, {name: keys.get(name, "") for name in changes}, changes, strength)


def with_sparse_text(clip: Any, changes: Mapping[str, Mapping[str, SparseChange]], strength: float) -> Any:
    """The same of text encoders, by encoder and name."""
    known = text_keys(clip)
    flat = {f"{encoder} {name}": change for encoder, of in changes.items() for name, change in of.items()}
    keys = {f"{encoder} {name}": known.get((encoder, name), "") for encoder, of in changes.items() for name in of}
    clone = clip.clone()
    clone.patcher = _patched(clone.patcher, keys, flat, strength)
    return clone


def _patched(patcher: Any, keys: Mapping[str, str], changes: Mapping[str, SparseChange], strength: float) -> Any:
    unknown = [name for name, key in keys.items() if not key]
    if unknown:
        raise ValueError(f"changes weights this model does not have: {listed(unknown, 3)}")
    state = patcher.model.state_dict()
    for name, change in changes.items():
        here = size_of(state[keys[name]])
        if change.size != here:
            raise ValueError(f"does not fit this model: {name} is {here} here, its change is of {change.size}")
    clone = patcher.clone()
    if strength == 0:
        return clone
    patch = _patch_class()
    patches = {keys[name]: patch(set(), (change.index, change.values)) for name, change in changes.items()}
    refused = set(patches) - set(clone.add_patches(patches, strength))
    if refused:
        raise ValueError(f"ComfyUI did not take the change of {len(refused)} weights: {listed(sorted(refused), 3)}")
    return clone


def _is_plain(held: Any) -> bool:
    return isinstance(held, Tensor) and held.is_floating_point() and held.element_size() > 1


def _patch_class() -> Any:
    """The class of a sparse patch, derived from ComfyUI's class of weight patches, imported when it is needed."""
    from comfy.weight_adapter import WeightAdapterBase

    class SparsePatch(WeightAdapterBase):
        """Positions and values that are added to a weight when it is loaded."""

        name = "concept_atelier_sparse"

        def __init__(self, loaded_keys: set[str], weights: tuple[Tensor, Tensor]) -> None:
            self.loaded_keys, self.weights = loaded_keys, weights

        def calculate_weight(
            self,
            weight: Tensor,
            key: str,
            strength: float,
            strength_model: float,
            offset: Any,
            function: Any,
            intermediate_dtype: Any = None,
            original_weight: Any = None,
        ) -> Tensor:
            index, values = self.weights
            return SparseChange(index, values, size_of(weight)).added_to(weight, strength)

    return SparsePatch
