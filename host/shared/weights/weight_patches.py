"""Weights as they are in force, without writing to the model: patched copies are put in for one call."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ....core.messages import listed
from ....core.types import Change, FullChange, LowRank
from ....core.weight_changes import WeightChange, decomposed


@dataclass(frozen=True, eq=False)
class WeightPatch:
    """A change of the denoiser's weights.

    Attributes:
        factors: parameter name (as in the UNet's state dict) to its change at strength 1.
        strength: multiplier; 0 changes nothing, negative values push the other way.
        magnitudes: parameter name to the lengths that its rows or columns get after the change (DoRA), see
            :func:`~....core.weight_changes.decomposed`.
        replaced: parameter name to what takes its place before the change, at any strength but 0.
    """

    factors: Mapping[str, WeightChange]
    strength: float = 1.0
    magnitudes: Mapping[str, Tensor] = field(default_factory=dict)
    replaced: Mapping[str, Tensor] = field(default_factory=dict)

    def applied(self, name: str, weight: Tensor) -> Tensor:
        """A weight as this changes it, summed at float32 (at float64 for changes that are), in its own type and on its
        device."""
        plain = weight.float()
        if name in self.replaced:
            plain = self.replaced[name].to(plain).view_as(plain)
        if name not in self.factors:
            return plain.to(weight.dtype)
        dense = self.factors[name].dense()
        plain = plain.to(torch.promote_types(plain.dtype, dense.dtype))
        change = dense.to(plain).view_as(plain)
        if name in self.magnitudes:
            change = decomposed(plain, change, self.magnitudes[name].to(plain)) - plain
        return (plain + self.strength * change).to(weight.dtype)


def check_patch(module: nn.Module, patch: WeightPatch) -> None:
    """Raise ``ValueError`` unless every change names a weight of ``module`` and fits its shape."""
    weights = dict(module.named_parameters())
    unknown = [name for name in (*patch.factors, *patch.replaced) if name not in weights]
    if unknown:
        raise ValueError(f"changes weights this model does not have: {listed(unknown, 5)}")
    for name, change in patch.factors.items():
        want, given = weights[name].shape, (change.checked() if isinstance(change, LowRank) else change).shape
        if given != (want[0], want[1:].numel()):
            raise ValueError(f"does not fit this model: {name} is {tuple(want)}, its change is {given}")
    for name, whole in patch.replaced.items():
        if whole.shape != weights[name].shape:
            shapes = tuple(weights[name].shape), tuple(whole.shape)
            raise ValueError(f"does not fit this model: {name} is {shapes[0]}, what takes its place {shapes[1]}")
    for name, lengths in patch.magnitudes.items():
        want, ones = weights[name].shape, (1,) * (weights[name].ndim - 2)
        if tuple(lengths.shape) not in ((want[0], 1, *ones), (1, want[1], *ones)):
            raise ValueError(
                f"does not fit this model: {name} is {tuple(want)}, its lengths are {tuple(lengths.shape)}"
            )


def check_changes(changes: Mapping[str, Change], shapes: Mapping[str, tuple[int, int]]) -> None:
    """Raise ``ValueError`` unless every change names one of the weights and fits its shape."""
    unknown = [name for name in changes if name not in shapes]
    if unknown:
        raise ValueError(
            f"the model has no weights {listed(unknown[:3])} that can be changed; what was trained belongs to another "
            "model"
        )
    for name, factor in changes.items():
        if not isinstance(factor, LowRank):
            if factor.shape != shapes[name]:
                raise ValueError(f"{name} is {shapes[name]}; a change of {factor.shape} does not fit it")
            continue
        up, down = tuple(factor.up.shape), tuple(factor.down.shape)
        if len(up) != 2 or len(down) != 2 or up[1] != down[0] or (up[0], down[1]) != shapes[name]:
            raise ValueError(f"{name} is {shapes[name]}; factors up {up} and down {down} do not fit it")


def changed(weight: Tensor, factors: Iterable[Change]) -> Tensor:
    """A weight and the sum of its changes, at float32, in the weight's type and on its device; gradients reach them."""
    total = weight.float()
    for factor in factors:
        total = total + _moved(factor, weight.device).dense().view_as(total)
    return total.to(weight.dtype)


def _moved(change: Change, device: torch.device) -> Change:
    if isinstance(change, LowRank):
        return LowRank(change.up.to(device, torch.float32), change.down.to(device, torch.float32))
    return FullChange(change.dense().to(device, torch.float32))


def patched_weights(module: nn.Module, patches: Iterable[WeightPatch]) -> dict[str, Tensor]:
    """New tensors for the weights that patches change, one patch after the other, in the weight's dtype."""
    patches = list(patches)
    names = dict.fromkeys(name for patch in patches if patch.strength for name in (*patch.replaced, *patch.factors))
    return {name: weight_in_force(module, patches, name) for name in names}


def weight_in_force(module: nn.Module, patches: Iterable[WeightPatch], name: str) -> Tensor:
    """A weight with all patches on it, in its own dtype; without any, the module's own, not to be written to."""
    weight = module.get_parameter(name).detach()
    for patch in patches:
        if patch.strength and (name in patch.factors or name in patch.replaced):
            weight = patch.applied(name, weight)
    return weight


def constants(module: nn.Module) -> dict[str, Tensor]:
    """Constants in place of the tensors that a backward pass through a module must not touch: of parameters that take
    gradients, so that it never fills the model's ``.grad``, and copies of tensors made under inference mode, which
    autograd cannot save. All others are left out.
    """
    named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {
        name: tensor.clone() if tensor.is_inference() else tensor.detach()
        for name, tensor in named.items()
        if tensor.is_inference() or tensor.requires_grad
    }


def call_with(module: nn.Module, tensors: Mapping[str, Tensor], *args: Any, **kwargs: Any) -> Any:
    """Call ``module`` with some of its tensors replaced for this call; with none, call it as it is."""
    if not tensors:
        return module(*args, **kwargs)
    return torch.func.functional_call(module, dict(tensors), args, kwargs)
