"""Which backbone stands behind what the sockets carry: the seam between hosts."""

from typing import Any

from ..core.attention.record import AttentionRecorder
from ..core.backbone import Backbone
from ..core.types import Erasure
from .diffusers_backbone import DiffusersBackbone
from .handles import Capture, ClipHandle, ModelHandle, VaeHandle
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
    """A copy of MODEL that shares its weights and has the erasure in force. Raises as :func:`backbone_of` does."""
    backbone_of(model=model)
    return model.with_patch(WeightPatch(erasure.factors, erasure.strength))


def with_recorder(model: Any, recorder: AttentionRecorder) -> Any:
    """A copy of MODEL whose sampling runs fill the recorder. Raises as :func:`backbone_of` does."""
    backbone_of(model=model)
    return model.with_capture(Capture.into(recorder))
