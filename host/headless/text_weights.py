"""Weights of the headless runner's text encoders: those in force, changes of them, and what their modules give."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor

from ...core.backbone import TextChanges, TextWeight
from ..shared.handles import ClipHandle, TextEncoder
from ..shared.text.layers import LAYERS
from ..shared.text.layouts import check_modules, check_text_changes, text_name
from ..shared.weights.weight_patches import WeightPatch, patched_weights


def text_weights(clip: ClipHandle) -> tuple[TextWeight, ...]:
    """The weights in force, encoder by encoder, in the order of their modules."""
    found: list[TextWeight] = []
    for encoder, tower in clip.encoders.items():
        patched = patched_weights(tower.model, tower.patches)
        for name, key in _names(tower).items():
            weight = patched[key] if key in patched else tower.model.get_parameter(key).detach()
            found.append(TextWeight(encoder, name, weight))
    return tuple(found)


def with_text_changes(clip: ClipHandle, changes: TextChanges, strength: float, foreign: str) -> ClipHandle:
    """The same text side with changes in force. Raises ``ValueError``, beginning with ``foreign``, for changes that
    name no weight of it or do not fit."""
    check_text_changes(changes, text_weights(clip), foreign)
    patches = {}
    for encoder, of in changes.items():
        keys = _names(clip.encoders[encoder])
        patches[encoder] = WeightPatch({keys[name]: change for name, change in of.items()}, strength)
    return clip.with_patches(patches)


@contextmanager
def text_outputs(clip: ClipHandle, modules: Mapping[str, str]) -> Iterator[Mapping[str, Tensor]]:
    """Within the context, the last output of a module of each encoder."""
    check_modules(modules, text_weights(clip))
    found: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for encoder, name in modules.items():
            tower = clip.encoders[encoder]
            inside = next(key for ours, key in _names(tower).items() if ours.rpartition(".")[0] == name)
            module = tower.model.get_submodule(inside.rpartition(".")[0])
            hooks.callback(module.register_forward_hook(_keeping(found, encoder)).remove)
        yield found


def layered_encoders(clip: ClipHandle) -> dict[str, Any]:
    """Each text encoder's module that holds ``encoder.layers``; none for encoders that are no CLIP's."""
    found = {}
    for encoder, tower in clip.encoders.items():
        inside = next(iter(_names(tower).values()), None)
        if inside is not None:
            found[encoder] = tower.model.get_submodule(inside.partition(LAYERS)[0].rstrip("."))
    return found


def _keeping(found: dict[str, Tensor], encoder: str) -> Any:
    def keep(module: Any, given: Any, output: Tensor) -> None:
        found[encoder] = output

    return keep


def _names(tower: TextEncoder) -> dict[str, str]:
    """Our name of every weight to the parameter's own."""
    return {name: key for key, _ in tower.model.named_parameters() if (name := text_name(key)) is not None}
