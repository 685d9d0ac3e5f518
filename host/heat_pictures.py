"""Heat maps as pictures."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .drawing import heat_over

PIXELS_PER_CELL = 8


def target_size(image: Tensor | None, samples: Tensor) -> tuple[int, int]:
    """(H, W) of the picture: the IMAGE's own (B, H, W, 3), or eight pixels per latent cell."""
    if image is not None:
        return image.shape[1], image.shape[2]
    return samples.shape[-2] * PIXELS_PER_CELL, samples.shape[-1] * PIXELS_PER_CELL


def heat_grid(heat: Tensor, words: Sequence[str], image: Tensor | None) -> Tensor:
    """IMAGE (N * B, h, w, 3) of maps (N, B, H, W) in 0..1: all pictures of the first word, then of the second ...

    Raises:
        ValueError: when there are other than B pictures, and for pictures that are not finite.
    """
    if image is None:
        image = torch.zeros(*heat.shape[1:], 3)
    if len(image) != heat.shape[1]:
        raise ValueError(f"{heat.shape[1]} latents were sampled, but {len(image)} pictures are connected")
    if not torch.isfinite(image).all():
        raise ValueError("the picture holds NaN or infinite values; the latent or the model it came from is broken")
    shown = [
        heat_over(picture[..., :3], one, word)
        for word, maps in zip(words, heat, strict=True)
        for picture, one in zip(image, maps, strict=True)
    ]
    return torch.stack(shown)
