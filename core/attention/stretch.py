"""Stretching maps to 0..1."""

import torch
from torch import Tensor


def minmax(values: Tensor) -> Tensor:
    """Values stretched to 0..1 by the least and the largest of all; ones where all are equal."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else torch.ones_like(values)
