"""Masks between the clustering grid and the picture's pixels."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

Size = tuple[int, int]


def covered_size(picture_size: Size, latent_downscale: int) -> Size:
    """The (H, W) of the centred part of a picture that its latent covers: sides cropped to multiples."""
    height, width = (side // latent_downscale * latent_downscale for side in picture_size)
    return height, width


def centre(picture: Tensor, covered: Size | None) -> Tensor:
    """The centred part of a picture (..., H, W) that a grid stands for; all of it for None.

    Raises ``ValueError`` for one that is smaller than that part.
    """
    if covered is None:
        return picture
    if picture.shape[-2] < covered[0] or picture.shape[-1] < covered[1]:
        raise ValueError(
            f"{picture.shape[-2]}x{picture.shape[-1]} is smaller than the part of the pictures that was read, "
            f"{covered[0]}x{covered[1]}; give masks in the size of the pictures"
        )
    top, left = ((side - part) // 2 for side, part in zip(picture.shape[-2:], covered, strict=True))
    return picture[..., top : top + covered[0], left : left + covered[1]]


def to_pixels(
    maps: Tensor, size: Size, mode: Literal["nearest", "bilinear"] = "nearest", covered: Size | None = None
) -> Tensor:
    """Maps on a grid to pixels.

    Args:
        maps: (N, h, w) bool or float, masks or soft scores.
        size: (H, W) of the picture.
        mode: ``nearest`` keeps values as they are; ``bilinear`` makes soft edges.
        covered: the centred part of the picture that the grid stands for (:func:`covered_size`), all of it by
            default; pixels around it repeat its edge.

    Returns:
        (N, H, W) float32; 0..1 for masks.

    Raises:
        ValueError: when the covered part is empty or larger than the picture.
    """
    if maps.ndim != 3:
        raise ValueError(f"maps must be (N, h, w), got {tuple(maps.shape)}")
    height, width = covered or size
    if not (0 < height <= size[0] and 0 < width <= size[1]):
        raise ValueError(f"the covered part {height}x{width} must lie inside the picture of {size[0]}x{size[1]} pixels")
    if len(maps) == 0:
        return torch.zeros(0, *size, device=maps.device)
    resized = interpolate(maps.float()[:, None], size=(height, width), mode=_MODES[mode])  # (N, 1, H', W')
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    margins = (left, size[1] - width - left, top, size[0] - height - top)
    return pad(resized, margins, mode="replicate").squeeze(1)


def smooth_masks(masks: Tensor, size: Size, covered: Size | None = None) -> Tensor:
    """Hard masks with smooth outlines: each pixel goes to the mask, or background, with most of it after bilinear
    resizing; ties go to the first mask, background last.

    Args:
        masks: (N, h, w) bool, disjoint.

    Returns:
        (N, H, W) bool, disjoint.
    """
    return winners(mask_shares(masks, size, covered))


def mask_shares(masks: Tensor, size: Size, covered: Size | None = None) -> Tensor:
    """(N + 1, H, W) float32, how much of each pixel belongs to each of (N, h, w) masks and, last, to the background."""
    background = ~masks.any(0, keepdim=True)  # (1, h, w)
    return to_pixels(torch.cat([masks, background]), size, "bilinear", covered)


def winners(shares: Tensor) -> Tensor:
    """(N, H, W) bool, where each of (N + 1, H, W) shares is the largest, without the last; ties go to the first."""
    return shares.argmax(0)[None] == torch.arange(len(shares) - 1, device=shares.device)[:, None, None]


_MODES = {"nearest": "nearest-exact", "bilinear": "bilinear"}
