"""Which backbone stands behind what the sockets carry: the seam between hosts."""

from typing import Any

from ..core.backbone import Backbone
from ..core.types import Erasure
from . import comfy_capture, comfy_weights
from .captures import AttentionCapture, headless_capture
from .comfy_names import is_patcher
from .diffusers_backbone import DiffusersBackbone
from .handles import ClipHandle, ModelHandle, VaeHandle
from .weight_patches import WeightPatch

_PARTS = {"MODEL": ModelHandle, "CLIP": ClipHandle, "VAE": VaeHandle}


class UnsupportedModelError(ValueError):
    """A socket carries something that no adapter reads."""


def backbone_of(model: Any = None, clip: Any = None, vae: Any = None) -> Backbone:
    """The backbone of the parts that are given (the others may be None).

    Raises:
        UnsupportedModelError: when a part comes from a loader that no adapter reads yet.
    """
    for socket, part in zip(_PARTS, (model, clip, vae), strict=True):
        if part is not None and not isinstance(part, _PARTS[socket]):
            raise UnsupportedModelError(
                f"{socket} is a {type(part).__module__}.{type(part).__qualname__}, which is not supported yet; "
                f"use the output of Load Lab Model (a {_PARTS[socket].__name__}) with `python -m concept_atelier run`"
            )
    return DiffusersBackbone(model, clip, vae)


def with_erasure(model: Any, erasure: Erasure) -> Any:
    """A copy of MODEL that shares its weights and has the erasure in force.

    Raises as :func:`backbone_of` does, and ``ValueError`` for an erasure of another model.
    """
    if is_patcher(model):
        return comfy_weights.with_erasure(model, erasure)
    backbone_of(model=model)
    return model.with_patch(WeightPatch(erasure.factors, erasure.strength))


def with_capture(model: Any, capture: AttentionCapture) -> Any:
    """A copy of MODEL whose sampling runs are added to the capture. Raises as :func:`backbone_of` does."""
    if is_patcher(model):
        return comfy_capture.with_capture(model, capture)
    backbone_of(model=model)
    return model.with_capture(headless_capture(capture))
