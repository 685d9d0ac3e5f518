"""What the headless runner tells of a denoiser's weights: those of attention, and numbers that identify all."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TypeVar

from ...core.backbone import AttentionWeight
from ...core.fingerprints import number_of
from ..shared.handles import ModelHandle
from ..shared.weights.lazy_weights import LazyWeights
from ..shared.weights.weight_patches import weight_in_force
from .flux import ENTRY_NAMES, TEXT_ENTRY

T = TypeVar("T")


def changeable_shapes(model: ModelHandle, weights: Iterable[AttentionWeight]) -> dict[str, tuple[int, int]]:
    """Name to shape of every weight that a training may change: those of attention, and those by which text enters."""
    shapes = {weight.name: weight.shape for weight in weights}
    if model.prediction_type != "flow":  # there text enters by weights of attention
        return shapes
    rows, columns = model.unet.get_parameter(ENTRY_NAMES[TEXT_ENTRY]).shape
    return shapes | {TEXT_ENTRY: (rows, columns)}


def of_parameters(model: ModelHandle, changes: Mapping[str, T]) -> dict[str, T]:
    """Changes by the names that diffusers gives the weights."""
    own = ENTRY_NAMES if model.prediction_type == "flow" else {}
    return {own.get(name, name): change for name, change in changes.items()}


def attention_tensors(model: ModelHandle, weights: Iterable[AttentionWeight]) -> LazyWeights:
    """The attention projections in force, by name."""
    names = [weight.name for weight in weights]
    return LazyWeights({name: partial(weight_in_force, model.unet, model.patches, name) for name in names})


def weight_numbers(model: ModelHandle) -> dict[str, float]:
    """A number for each weight of the denoiser, as it is in force."""
    names = [name for name, _ in model.unet.named_parameters()]
    return {name: number_of(weight_in_force(model.unet, model.patches, name)) for name in names}
