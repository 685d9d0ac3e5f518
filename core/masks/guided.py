"""Masks whose outlines follow the edges of the picture.

He, Sun and Tang, "Guided Image Filtering", ECCV 2010 and TPAMI 2013: within every window the result is a linear
function of the picture's colours, so that it changes where the colours change and nowhere else. Masks on a coarse
grid know a thing but not its outline; the picture knows outlines but no things.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..types import Concepts
from .upsample import Size, mask_shares, smooth_masks, winners

REACH, EPS = 1.5, 1e-5  # chosen on development scenes, see docs/localize.md


def pixel_masks(concepts: Concepts, picture: Tensor | None = None, each: Callable[[], None] = lambda: None) -> Tensor:
    """(N, H, W) bool, the masks of concepts in their picture's size, with the outline that they ask for.

    Args:
        picture: (1, 3, H, W) in 0..1, the picture they were found in; without it outlines are smooth.
        each: called before each mask that takes a second or more on a large picture; what it raises passes.
    """
    if picture is None or concepts.outline == "smooth" or not len(concepts):
        return smooth_masks(concepts.masks, concepts.picture_size, concepts.covered)
    return guided_masks(concepts.masks, picture, concepts.covered, each=each)


def guided_masks(
    masks: Tensor,
    picture: Tensor,
    covered: Size | None = None,
    reach: float = REACH,
    eps: float = EPS,
    each: Callable[[], None] = lambda: None,
) -> Tensor:
    """Hard masks in the picture's size: each pixel goes to the mask, or background, with the largest filtered share.

    A mask that would vanish, such as a small one in a picture of mere noise, keeps its smooth outline.

    Args:
        masks: (N, h, w) bool, disjoint.
        picture: (1, 3, H, W) in 0..1.
        covered: see :func:`~.upsample.to_pixels`.
        reach: half the side of the filter's window, in cells of the grid.
        eps: variance of colour below which the picture counts as even; see :func:`guided_filter`.
        each: called before each mask.

    Returns:
        (N, H, W) bool, disjoint.

    Raises:
        ValueError: for a picture of another shape, ``reach`` or ``eps`` that is not above 0.
    """
    if picture.ndim != 4 or picture.shape[:2] != (1, 3):
        raise ValueError(f"expected one RGB picture (1, 3, H, W), got {tuple(picture.shape)}")
    if not (reach > 0 and eps > 0):
        raise ValueError(f"reach and eps must be above 0, got {reach:g} and {eps:g}")
    size = (picture.shape[-2], picture.shape[-1])
    cell = max(side / cells for side, cells in zip(covered or size, masks.shape[1:], strict=True))
    shares = mask_shares(masks, size, covered)  # (N + 1, H, W)
    found = winners(guided_filter(picture[0].to(shares), shares, max(1, round(reach * cell)), eps, each))
    vanished = winners(shares) & ~found.any(2, keepdim=True).any(1, keepdim=True)  # (N, H, W)
    return torch.where(vanished.any(0), vanished, found)  # (H, W) chooses between (N, H, W)


def guided_filter(
    guide: Tensor, maps: Tensor, radius: int, eps: float, each: Callable[[], None] = lambda: None
) -> Tensor:
    """Maps smoothed within a picture's even regions and not across its edges (TPAMI 2013, equations 19 to 21).

    In a window, ``a = (S + eps I)^-1 cov(I, p)`` and ``b = mean(p) - a . mean(I)``, with the colours I, their
    covariance S and the map p; a pixel gets the mean of ``a . I + b`` over the windows that hold it.

    Args:
        guide: (3, H, W), the picture I in 0..1.
        maps: (K, H, W), each a p.
        radius: windows have 2 radius + 1 pixels a side; beyond the border the edge is repeated.
        eps: the larger, the stronger an edge must be to be kept.
        each: called before each map.

    Returns:
        (K, H, W), of the maps' type. Maps that sum to one everywhere still do.
    """
    colours = guide.double()  # variances near eps drown in float32's rounding
    mean = box_mean(colours, radius)  # (3, H, W)
    squares = box_mean((colours[:, None] * colours[None]).flatten(0, 1), radius).unflatten(0, (3, 3))  # (3, 3, H, W)
    spread = (squares - mean[:, None] * mean[None]).permute(2, 3, 0, 1)  # (H, W, 3, 3)
    inverse = torch.linalg.inv(spread + eps * torch.eye(3, dtype=spread.dtype, device=spread.device))  # (H, W, 3, 3)

    def filtered(one: Tensor) -> Tensor:
        each()
        return _filtered(colours, mean, inverse, one.double(), radius)

    return torch.stack([filtered(one) for one in maps]).to(maps)


def box_mean(maps: Tensor, radius: int) -> Tensor:
    """The mean over windows of 2 radius + 1 pixels a side around every pixel of (K, H, W), edges repeated."""
    side = 2 * radius + 1
    sums = pad(maps[None], (radius,) * 4, mode="replicate")[0]  # (K, H + 2 radius, W + 2 radius)
    for axis in (-1, -2):
        total = sums.cumsum(axis)
        length = total.shape[axis]
        ends = total.narrow(axis, side - 1, length - side + 1)
        before = total.narrow(axis, 0, length - side)
        sums = torch.cat([ends.narrow(axis, 0, 1), ends.narrow(axis, 1, length - side) - before], axis)
    return sums / side**2


def _filtered(colours: Tensor, mean: Tensor, inverse: Tensor, one: Tensor, radius: int) -> Tensor:
    level = box_mean(one[None], radius)  # (1, H, W)
    together = box_mean(colours * one, radius) - mean * level  # (3, H, W)
    slope = torch.einsum("yxij,jyx->iyx", inverse, together)  # (H, W, 3, 3) with (3, H, W) to (3, H, W)
    offset = level - (slope * mean).sum(0, keepdim=True)  # (1, H, W)
    return (box_mean(slope, radius) * colours).sum(0) + box_mean(offset, radius)[0]  # (3, H, W) to (H, W)
