"""Numbers that identify weights, whatever type of 16 bits or more they were loaded as.

Of a weight it is ``r = sum_i s_i w_i / ||w||``, over values w spread evenly over it, with fixed random signs s. Numbers
of one weight agree (float16 moves them by some 1e-4); those of two models, and of one that was trained further, differ
by about 1. Rounding to 8 bits moves them by 0.02 to 0.05, as a little training does: a model that is loaded so counts
as another one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

VALUES = 4096
"""Of each weight that are read."""
TOLERANCE = 0.02
"""By how much two numbers of one weight may differ."""


def number_of(weight: Tensor, values: int = VALUES) -> float:
    """The number of a weight of any shape and float type, on any device.

    Args:
        weight: not to be written to.
        values: how many of it are read at most.
    """
    flat = weight.detach().flatten()
    picked = flat[spread(len(flat), values).to(flat.device)].cpu().double()  # some devices have no float64
    signs = torch.randint(0, 2, picked.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return float((picked * signs).sum() / picked.norm().clamp(min=1e-12))


def spread(length: int, values: int) -> Tensor:
    """(m,) indices of a list of a length, from its first entry to its last, at most so many ``values``."""
    index = torch.linspace(0, length - 1, min(values, length)).long()
    return index.clamp_(max=length - 1)  # linspace is in float32, which above 2^24 rounds up to the length


def alike(found: Sequence[float], wanted: Sequence[float]) -> bool:
    """Whether two lists of numbers are those of the same weights, in the same order."""
    return len(found) == len(wanted) and all(abs(a - b) <= TOLERANCE for a, b in zip(found, wanted, strict=True))
