"""Stretching maps to 0..1."""

import torch
from torch import Tensor


def minmax(values: Tensor) -> Tensor:
    """Values stretched to 0..1 by the least and the largest of all; ones where all are equal."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else torch.ones_like(values)


def stretched(maps: Tensor) -> Tensor:
    """Each map (..., h, w) stretched to 0..1 by its own least and largest value; zeros where all are equal."""
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    return (maps - low) / (high - low).clamp_min(torch.finfo(maps.dtype).tiny)
