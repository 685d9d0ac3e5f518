"""What the headless runner tells of a denoiser's weights: those of attention, and numbers that identify all."""

from collections.abc import Iterable
from functools import partial

from ...core.backbone import AttentionWeight
from ...core.fingerprints import number_of
from ..shared.handles import ModelHandle
from ..shared.weights.lazy_weights import LazyWeights
from ..shared.weights.weight_patches import weight_in_force


def attention_tensors(model: ModelHandle, weights: Iterable[AttentionWeight]) -> LazyWeights:
    """The attention projections in force, by name."""
    names = [weight.name for weight in weights]
    return LazyWeights({name: partial(weight_in_force, model.unet, model.patches, name) for name in names})


def weight_numbers(model: ModelHandle) -> dict[str, float]:
    """A number for each weight of the denoiser, as it is in force."""
    names = [name for name, _ in model.unet.named_parameters()]
    return {name: number_of(weight_in_force(model.unet, model.patches, name)) for name in names}
