"""Weights of ComfyUI's CLIP text encoders: those in force, changes of them by patches, and what their modules give."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor

from ....core.backbone import TextChanges, TextWeight
from ....core.messages import listed
from ...shared.text.layouts import check_modules, check_text_changes, text_name
from ..weights import in_force

MIDDLE = ".transformer.text_model."
"""Between the encoder's name and the weight's in ComfyUI's keys: ``clip_l.transformer.text_model.encoder.layers.0...``.
"""


def text_keys(clip: Any) -> dict[tuple[str, str], str]:
    """Encoder and our name of every weight to ComfyUI's key, in order; none for encoders that are no CLIP's."""
    found: dict[tuple[str, str], str] = {}
    for key in clip.patcher.model.state_dict():
        encoder, middle, rest = key.partition(MIDDLE)
        if middle and encoder.startswith("clip_") and text_name(key) == rest:
            found[encoder, rest] = key
    return found


def text_weights(clip: Any) -> tuple[TextWeight, ...]:
    """The weights in force on this CLIP, as :func:`.weights.key_value_weights` gives those of a MODEL."""
    keys = text_keys(clip)
    return tuple(TextWeight(*named, in_force(clip.patcher, key)) for named, key in keys.items())


def with_text_changes(clip: Any, changes: TextChanges, strength: float, foreign: str) -> Any:
    """A clone with changes as weight patches; the CLIP itself is not changed.

    Raises ``ValueError``, beginning with ``foreign``, for changes that name no weight of it or do not fit it.
    """
    check_text_changes(changes, text_weights(clip), foreign)
    clone = clip.clone()
    if strength == 0:
        return clone
    keys, state = text_keys(clip), clip.patcher.model.state_dict()
    patches = {}
    for encoder, of in changes.items():
        for name, change in of.items():
            key = keys[encoder, name]
            patches[key] = ("diff", (change.dense().detach().cpu().reshape(state[key].shape),))
    refused = set(patches) - set(clone.add_patches(patches, strength))
    if refused:
        raise ValueError(f"ComfyUI did not take the change of {len(refused)} weights: {listed(sorted(refused), 3)}")
    return clone


@contextmanager
def text_outputs(clip: Any, modules: Mapping[str, str]) -> Iterator[Mapping[str, Tensor]]:
    """Within the context, the last output of a module of each encoder."""
    check_modules(modules, text_weights(clip))
    found: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for encoder, name in modules.items():
            module = getattr(clip.cond_stage_model, encoder).transformer.text_model.get_submodule(name)
            hooks.callback(module.register_forward_hook(_keeping(found, encoder)).remove)
        yield found


def layered_encoders(clip: Any) -> dict[str, Any]:
    """Each CLIP text encoder's module that holds ``encoder.layers``."""
    names = dict.fromkeys(encoder for encoder, _ in text_keys(clip))
    return {name: getattr(clip.cond_stage_model, name).transformer.text_model for name in names}


def _keeping(found: dict[str, Tensor], encoder: str) -> Any:
    def keep(module: Any, given: Any, output: Tensor) -> None:
        found[encoder] = output

    return keep
