"""How much of each concept lies in each region of a picture, and how much in none; what a region shows of them."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def shares_in_regions(maps: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
    """How much of each concept lies in each region, and how much outside all regions.

    Where regions overlap, what lies in both counts in both.

    Args:
        maps: (K, P, h, w) how much of each of K concepts lies in each cell of P pictures; zero or more, in any unit.
        regions: (R, H, W) masks in 0..1, on any grid over the same picture; or (R, P, H, W), others in each picture.

    Returns:
        (K, P, R) and (K, P) in 0..1; NaN for a picture in which the map of a concept is zero everywhere.

    Raises:
        ValueError: for maps that are not (K, P, h, w) or have negative values, and for regions of another shape.
    """
    regions = regions[:, None].expand(-1, maps.shape[1], -1, -1) if regions.ndim == 3 and maps.ndim == 4 else regions
    if maps.ndim != 4 or regions.ndim != 4 or regions.shape[1] != maps.shape[1]:
        raise ValueError(
            f"maps must be (K, P, h, w), and regions (R, H, W) or (R, P, H, W), got {tuple(maps.shape)} and "
            f"{tuple(regions.shape)}"
        )
    maps = maps.float()
    if bool((maps < 0).any()):
        raise ValueError("a map has negative values; expected how much of a concept lies in each cell, zero or more")
    every = torch.cat([regions.float(), 1 - regions.float().amax(0, keepdim=True)])  # (R + 1, P, H, W)
    cells = interpolate(every, size=maps.shape[-2:], mode="area")  # (R + 1, P, h, w)
    total = maps.sum((2, 3))[..., None]  # (K, P, 1)
    shares = torch.einsum("kphw,rphw->kpr", maps, cells) / total  # 0 / 0 is NaN
    return shares[..., :-1], shares[..., -1]


def narrowed(region: Tensor, maps: Tensor) -> Tensor:
    """A region in each picture, cut down to the box around what it shows of any concept.

    A thing that fills a part of its region is compared with its source more fairly without the ground around it.

    Args:
        region: (H, W) in 0..1, or (P, H, W), another in each picture.
        maps: (K, P, h, w) of :func:`shares_in_regions`.

    Returns:
        (P, H, W) in 0..1; the whole region for a picture that shows no concept in it.
    """
    shown = interpolate((maps > 0).any(0)[:, None].float(), size=region.shape[-2:], mode="nearest")[:, 0]  # (P, H, W)
    held = (shown > 0) & (region > 0.5)
    down, across = _between_ends(held.any(2)), _between_ends(held.any(1))  # (P, H), (P, W)
    box = (down[:, :, None] & across[:, None, :]) | ~held.any(2).any(1)[:, None, None]
    return region * box


def _between_ends(line: Tensor) -> Tensor:
    """(P, n) bool: from the first true value of each line to its last."""
    return (line.cumsum(1) > 0) & (line.flip(1).cumsum(1).flip(1) > 0)
