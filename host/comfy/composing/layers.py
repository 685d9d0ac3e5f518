"""Linear layers and convolutions of ComfyUI's denoisers, as LoRA files call them, and edits of what they give.

An edit hangs on the modules by hooks for one sampling run, and adds nothing outside the passes that it is told of.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ....core.compose.parts.layers import Convolution, Layer, LayerEdit, LayerInputs, RowsOfPass, place_of
from ...shared.families import FAMILIES
from ..names import PREFIX, attention_keys
from ..parts import model_family


def layers_of(patcher: Any) -> dict[str, Layer]:
    """How keys of LoRA files begin, to the layer that they belong to, by ComfyUI's own table of names."""
    import comfy.lora

    weights = dict(patcher.get_model_object("diffusion_model").named_parameters())
    of_unet = FAMILIES[model_family(patcher)].transformer is None
    projections = {key: name for name, key in attention_keys(patcher).items()} if of_unet else {}
    found = {}
    for base, target in comfy.lora.model_lora_keys_unet(patcher.model, {}).items():
        key, rows, *turned = target if isinstance(target, tuple) else (target, None)
        if turned:  # a modulation whose halves files have the other way round
            continue
        weight = weights.get(key.removeprefix(PREFIX))  # the table also names layers that this model leaves out
        if weight is None or not key.endswith(".weight"):
            continue
        shape = tuple(int(side) for side in weight.shape)
        name = key.removeprefix(PREFIX).removesuffix(".weight")
        dimension, start, size = rows or (0, 0, None)
        if dimension == 0:
            found[base] = Layer(name, shape, start, size, projections.get(key))
    return found


@dataclass(frozen=True)
class LayerPass:
    """A pass of the denoiser that is running.

    Attributes:
        rows: where rows lie in it.
        parts: the rows of each conditioning of the batch, and whether it is the positive one.
        timestep: of all of them.
    """

    rows: RowsOfPass
    parts: tuple[tuple[slice, bool], ...] = ((slice(None), True),)
    timestep: float | None = None


@contextmanager
def edited_layers(
    denoiser: Any, names: Sequence[str], edit: LayerEdit, running: Callable[[], LayerPass | None]
) -> Iterator[None]:
    """Within the context an edit may add to what each of the layers gives, while a pass is running; all hooks are gone
    afterwards, whatever happens."""
    handles: list[RemovableHandle] = []
    try:
        for name in names:
            handles.append(_hook(denoiser.get_submodule(name), name, edit, running))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(layer: nn.Module, name: str, edit: LayerEdit, running: Callable[[], LayerPass | None]) -> RemovableHandle:
    def add(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        now = running()
        described = None if now is None else _described(module, name, args[0], output, now.rows)
        if now is None or described is None:
            return None
        result = None
        for rows, said in now.parts:
            more = edit(replace(described, given=args[0][rows], conditional=said, timestep=now.timestep))
            if more is not None:
                result = output.clone() if result is None else result
                result[rows] += more.to(output.dtype)
        return result

    return layer.register_forward_hook(add)


def _described(layer: Any, name: str, given: Tensor, output: Tensor, rows: RowsOfPass) -> LayerInputs | None:
    """What an edit sees, of all rows; None for a layer whose rows have no place."""
    if output.ndim == 4 and given.ndim == 4 and hasattr(layer, "kernel_size"):
        how = Convolution(layer.kernel_size, layer.stride, layer.padding)
        return LayerInputs(name, given, (output.shape[-2], output.shape[-1]), convolution=how)
    if output.ndim != 3:
        return None
    place = place_of(name, given.shape[1], rows)
    return None if place is None else LayerInputs(name, given, *place, length=rows.length)
