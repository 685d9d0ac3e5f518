"""Pictures on their way into an autoencoder."""

import torch
from torch import Tensor

TOLERANCE = 0.5
"""How far values may lie outside of 0..1: sharpening and enlarging overshoot a little."""


def check_range(image: Tensor) -> None:
    """Raise ``ValueError`` for a picture of any shape whose values are plainly not in 0..1, or no numbers."""
    if not bool(torch.isfinite(image).all()):
        raise ValueError("the picture holds NaN or infinite values; expected 0..1")
    least, most = (float(end) for end in torch.aminmax(image))
    if least < -TOLERANCE or most > 1 + TOLERANCE:
        raise ValueError(f"the picture's values go from {least:g} to {most:g}, expected 0..1; rescale it")


def crop_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Pictures (B, 3, H, W) in 0..1, cropped at the centre to sides that are multiples of ``multiple``.

    Raises:
        ValueError: for another shape, for pictures smaller than one multiple, for values that are not numbers.
    """
    if image.ndim != 4 or image.shape[1] != 3:
        raise ValueError(f"pictures must be (B, 3, H, W) in colour, got {tuple(image.shape)}")
    height, width = image.shape[-2:]
    if min(height, width) < multiple:
        raise ValueError(f"the picture is {width}x{height} pixels; this model needs at least {multiple}x{multiple}")
    check_range(image)
    top, left = (height % multiple) // 2, (width % multiple) // 2
    return image[..., top : top + height // multiple * multiple, left : left + width // multiple * multiple]
