"""Linear layers and convolutions of diffusers' denoisers, as LoRA files call them, and edits of what they give."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ...core.compose.parts.layers import Convolution, Layer, LayerEdit, LayerInputs, RowsOfPass, place_of
from .lora_files import weight_names
from .taps import Forward, hooked


def layers_of(denoiser: Any) -> dict[str, Layer]:
    """How keys of LoRA files begin, to the layer that they belong to."""
    state, found = dict(denoiser.named_parameters()), {}
    for base, parameter in weight_names(denoiser).items():
        name, shape = parameter.removesuffix(".weight"), tuple(state[parameter].shape)
        of_unet = ".attn1.to_" in parameter or ".attn2.to_" in parameter
        found[base] = Layer(name, shape, attention=parameter if of_unet else None)
    return found


@contextmanager
def edited_layers(
    denoiser: Any, names: Sequence[str], edit: LayerEdit, forward: Callable[[], Forward]
) -> Iterator[None]:
    """Within the context an edit may add to what each of the layers gives; all hooks are gone afterwards.

    ``forward`` returns the description of the pass that is running.
    """
    with hooked([_hook(denoiser.get_submodule(name), name, edit, forward)] for name in names):
        yield


def _hook(layer: nn.Module, name: str, edit: LayerEdit, forward: Callable[[], Forward]) -> RemovableHandle:
    def add(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        running = forward()
        described = _described(layer, name, args[0], output, running)
        if described is None:
            return None
        result = None
        for said in (False, True):
            rows = torch.tensor([conditional is said for conditional in running.conditional])
            if not bool(rows.any()):
                continue
            more = edit(replace(described, given=args[0][rows], conditional=said, timestep=running.timestep))
            if more is not None:
                result = output.clone() if result is None else result
                result[rows] += more.to(output.dtype)
        return result

    return layer.register_forward_hook(add)


def _described(layer: Any, name: str, given: Tensor, output: Tensor, running: Forward) -> LayerInputs | None:
    """What an edit sees, of all rows; None for a layer whose rows have no place."""
    if output.ndim == 4:
        how = Convolution(layer.kernel_size, layer.stride, layer.padding)
        return LayerInputs(name, given, (output.shape[-2], output.shape[-1]), convolution=how)
    if output.ndim != 3:
        return None
    place = place_of(name, given.shape[1], rows_of(running))
    return None if place is None else LayerInputs(name, given, *place, length=running.text_length)


def rows_of(running: Forward) -> RowsOfPass:
    """Where rows lie in a pass."""
    if not running.joint:
        return RowsOfPass(running.latent_size)
    height, width = running.latent_size
    length = running.text_length
    return RowsOfPass(running.latent_size, running.latent_size, length, 0, length, height * width)
