"""What a concept looks like in its picture: the picture with everything outside the concept's mask made plain."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..messages import listed, shown

GROUNDS: Mapping[str, float] = MappingProxyType({"black": 0.0, "grey": 0.5, "white": 1.0})
"""Plain grounds, by name."""
MARGIN = 0.1
"""Room around a cut-out concept, as a share of the longer side of its box."""


def masked_source(picture: Tensor, mask: Tensor, ground: str = "grey", crop: bool = False) -> Tensor:
    """The concept alone on a plain ground.

    Args:
        picture: (1, 3, H, W) in 0..1.
        mask: (H, W) in 0..1 or bool.
        ground: one of :data:`GROUNDS`.
        crop: cut out the square around the concept, with a little room; beyond the picture there is ground too.

    Returns:
        (1, 3, H, W) in 0..1, or (1, 3, s, s) if cropped.

    Raises:
        ValueError: for a mask of another size or an empty one, and for an unknown ground.
    """
    if ground not in GROUNDS:
        raise ValueError(f"the ground must be one of {listed(GROUNDS)}, got {shown(ground)}")
    if mask.shape != picture.shape[-2:] or len(picture) != 1:
        raise ValueError(f"a mask of {tuple(mask.shape)} does not fit one picture {tuple(picture.shape)}")
    if not bool((mask > 0.5).any()):
        raise ValueError("the mask is empty, so there is no concept in it")
    share, plain = mask.to(picture), GROUNDS[ground]
    alone = picture * share + plain * (1 - share)  # (1, 3, H, W) with (H, W)
    return _cut_out(alone, mask > 0.5, plain) if crop else alone


def _cut_out(alone: Tensor, inside: Tensor, plain: float) -> Tensor:
    """The square around a mask (H, W), filled up with the ground where it leaves the picture."""
    top, bottom = _extent(inside.any(1))
    left, right = _extent(inside.any(0))
    side = round(max(bottom - top, right - left) * (1 + 2 * MARGIN))
    up, over = (top + bottom - side) // 2, (left + right - side) // 2
    filled = pad(alone, (side, side, side, side), value=plain)  # (1, 3, H + 2 side, W + 2 side)
    return filled[..., up + side : up + 2 * side, over + side : over + 2 * side]


def _extent(line: Tensor) -> tuple[int, int]:
    where = torch.nonzero(line)[:, 0]
    return int(where[0]), int(where[-1]) + 1
