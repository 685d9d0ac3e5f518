"""Pictures as a picture encoder sees them: the seam to CLIP_VISION, ComfyUI's or the lab's."""

from typing import Any

import torch
from torch import Tensor

from ...core.evaluate.similarity import unit
from ..shared.errors import UnsupportedModelError
from ..shared.progress import check_interrupt

BATCH = 16


def picture_features(clip_vision: Any, pictures: Tensor) -> Tensor:
    """Features of pictures, on the CPU.

    Whole pictures are squeezed into the encoder's square: its own habit of cutting off the sides would cut concepts.

    Args:
        clip_vision: what a CLIP_VISION socket carries: ``encode_image(IMAGE, crop=False)`` gives ``image_embeds``.
        pictures: (B, 3, H, W) in 0..1.

    Returns:
        (B, D) float32 at unit length.

    Raises:
        UnsupportedModelError: for anything that is no CLIP_VISION, and for encoders without one vector a picture.
        ValueError: for pictures, or features, that are not finite.
    """
    check_vision(clip_vision)
    if not bool(torch.isfinite(pictures).all()):
        raise ValueError("a picture holds NaN or infinite values; the latent or the model it came from is broken")
    parts = []
    for part in pictures.split(BATCH):
        check_interrupt()
        parts.append(_embeds(clip_vision, part))
    return unit(torch.cat(parts))


def check_vision(clip_vision: Any) -> None:
    """Raises :class:`UnsupportedModelError` for anything that is no CLIP_VISION."""
    if not callable(getattr(clip_vision, "encode_image", None)):
        described = f"{type(clip_vision).__module__}.{type(clip_vision).__qualname__}"
        raise UnsupportedModelError(
            f"CLIP_VISION is a {described}; connect what Load CLIP Vision or Load Lab CLIP Vision gives"
        )


@torch.no_grad()
def _embeds(clip_vision: Any, pictures: Tensor) -> Tensor:
    output = clip_vision.encode_image(pictures.movedim(1, -1).contiguous(), crop=False)
    embeds = getattr(output, "image_embeds", None)
    if not isinstance(embeds, Tensor) or embeds.ndim != 2 or len(embeds) != len(pictures):
        raise UnsupportedModelError(
            "this CLIP_VISION gives no single vector for a picture; use a CLIP, SigLIP or DINOv2 vision model"
        )
    return embeds.detach().float().cpu()
