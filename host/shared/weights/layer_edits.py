"""Edits of what linear layers and convolutions of a denoiser give, by hooks on its modules."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ....core.compose.parts.layers import Convolution, LayerEdit, LayerInputs, RowsOfPass, place_of


@dataclass(frozen=True, eq=False)
class LayerPass:
    """A pass of the denoiser that is running.

    Attributes:
        rows: where rows lie in it.
        parts: the rows of each conditioning of the batch, as an index of its first axis, and whether it is the
            positive one.
        timestep: of all of them; None when they differ.
    """

    rows: RowsOfPass
    parts: tuple[tuple[slice | Tensor, bool], ...] = ((slice(None), True),)
    timestep: float | None = None


@contextmanager
def edited_layers(
    denoiser: nn.Module, names: Sequence[str], edit: LayerEdit, running: Callable[[], LayerPass | None]
) -> Iterator[None]:
    """Within the context an edit may add to what each of the layers gives, while a pass is running; all hooks are gone
    afterwards, whatever happens.

    ``running`` describes that pass; None for one that is not edited.
    """
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
