"""Skills on models of the headless runner: all weights in force, and sparse changes of them."""

from collections.abc import Mapping
from functools import partial

from ...core.messages import listed
from ...core.surgery.skill import TEXT
from ...core.surgery.sparse import SparseChange
from ..shared.handles import ClipHandle, ModelHandle
from ..shared.text.layouts import text_name
from ..shared.weights.lazy_weights import LazyWeights, Reader
from ..shared.weights.weight_patches import WeightPatch, weight_in_force


def model_weights(model: ModelHandle) -> LazyWeights:
    """Every weight of the denoiser in force, by the names of diffusers."""
    names = [name for name, weight in model.unet.named_parameters() if weight.is_floating_point()]
    return LazyWeights({name: partial(weight_in_force, model.unet, model.patches, name) for name in names})


def clip_weights(clip: ClipHandle) -> LazyWeights:
    """The weights in force of every layer of the text encoders, by the names that skills have for them."""
    readers: dict[str, Reader] = {}
    for encoder, tower in clip.encoders.items():
        for key, _ in tower.model.named_parameters():
            name = text_name(key)
            if name is not None:
                readers[f"{TEXT}{encoder}.{name}"] = partial(weight_in_force, tower.model, tower.patches, key)
    return LazyWeights(readers)


def with_sparse(model: ModelHandle, changes: Mapping[str, SparseChange], strength: float) -> ModelHandle:
    """The same model with sparse changes in force. Raises ``ValueError`` for names or sizes that it does not have."""
    return model.with_patch(WeightPatch(dict(changes), strength))


def with_sparse_text(
    clip: ClipHandle, changes: Mapping[str, Mapping[str, SparseChange]], strength: float
) -> ClipHandle:
    """The same of text encoders, by encoder and name."""
    patches = {}
    for encoder, of in changes.items():
        tower = clip.encoders.get(encoder)
        keys = {} if tower is None else {text_name(key): key for key, _ in tower.model.named_parameters()}
        unknown = [f"{encoder} {name}" for name in of if name not in keys]
        if unknown:
            raise ValueError(f"changes weights this text encoder does not have: {listed(unknown, 3)}")
        patches[encoder] = WeightPatch({keys[name]: change for name, change in of.items()}, strength)
    return clip.with_patches(patches)
