"""Attention maps from one grid to another."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from .selection import Grid

Mode = Literal["bilinear", "bicubic"]


def mask_on(mask: Tensor, grid: Grid) -> Tensor:
    """A mask (H, W) on a grid, by the mean of what each cell covers."""
    return F.interpolate(mask.float()[None, None], size=grid, mode="area")[0, 0]


def area_mean(maps: Tensor, size: Grid) -> Tensor:
    """Maps (..., h, w) on a grid (..., H, W), by the mean of what each cell covers."""
    there = maps.cpu() if maps.device.type == "mps" else maps  # it averages only where sizes are whole multiples
    return F.adaptive_avg_pool2d(there, size).to(maps.device)


def resize_maps(maps: Tensor, size: Grid, mode: Mode = "bicubic") -> Tensor:
    """Maps (..., h, w) >= 0 resized to (..., H, W), still >= 0.

    ``bilinear`` keeps sums over tokens; ``bicubic`` is smoother and overshoots, what falls below 0 is cut off (DAAM,
    arXiv 2210.04885, section 2.2). What shrinks is averaged (antialiasing).
    """
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    shrinks = size[0] < maps.shape[-2] or size[1] < maps.shape[-1]
    flat = maps.reshape(1, -1, *maps.shape[-2:])
    if shrinks and maps.device.type == "mps":  # which has no gradient of an antialiased resize
        flat = flat.cpu()
    resized = F.interpolate(flat, size=size, mode=mode, align_corners=False, antialias=shrinks)
    return resized.to(maps.device).clamp_min(0).reshape(*maps.shape[:-2], *size)
