"""How maps of one thing agree with one another, and with a mask."""

import torch
from torch import Tensor

from ..attention.stretch import stretched

BINS = 256


def correlations(maps: Tensor) -> Tensor:
    """Pearson's correlation over cells of every two of K maps (K, ..., h, w), (..., K, K) in -1..1; 0 with a map that
    is the same everywhere, and 1 of each map with itself.

    Kong et al., arXiv 2310.07972, compare maps of attention and of information with the change of pixels in this way.
    """
    flat = maps.double().flatten(-2).movedim(0, -2)  # (..., K, h*w)
    centred = flat - flat.mean(-1, keepdim=True)
    unit = centred / centred.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    found = (unit @ unit.mT).clamp(-1, 1)  # (..., K, K)
    own = torch.eye(len(maps), dtype=torch.bool, device=maps.device)
    return torch.where(own, 1.0, found).float()


def otsu_threshold(heat: Tensor) -> float:
    """The value of a map (h, w) in 0..1 that parts its cells best in two (Otsu, IEEE Trans. SMC 9, 1979): the variance
    between both parts is the largest. 1 where all cells are equal, so that nothing lies above."""
    counts = torch.histc(heat.float(), BINS, 0, 1).double()
    values = (torch.arange(BINS, dtype=torch.float64) + 0.5) / BINS
    below = counts.cumsum(0)  # (BINS,) cells up to each value
    above, mass = below[-1] - below, (counts * values).cumsum(0)
    gap = mass / below.clamp_min(1) - (mass[-1] - mass) / above.clamp_min(1)
    between = below * above * gap.square()
    best = int(between.argmax())
    return (best + 1) / BINS if float(between[best]) > 0 else 1.0


def regions_of(maps: Tensor) -> Tensor:
    """The cells (..., h, w) bool of maps (..., h, w) that lie above :func:`otsu_threshold` of each map's own range."""
    level = stretched(maps)
    limits = torch.tensor([otsu_threshold(one.cpu()) for one in level.flatten(0, -3)], device=maps.device)
    return level > limits.view(*maps.shape[:-2], 1, 1)


def overlaps(regions: Tensor, masks: Tensor) -> Tensor:
    """(...) intersection over union of bool regions (..., h, w) and masks that fit them; 0 of two empty ones."""
    both, either = ((regions & masks).sum((-2, -1)), (regions | masks).sum((-2, -1)))
    return both / either.clamp_min(1)
