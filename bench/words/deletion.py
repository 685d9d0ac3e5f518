"""Whether what a map shows is what the judge goes by: its region is painted over."""

import torch
from torch import Tensor

from ...core.attribute.agreement import regions_of
from ...lab.judge.judge import Judge
from ..drawing import SIDE

DELETED = {"gone": "judge loses the object", "gone_elsewhere": "the same shape elsewhere"}
PRESENT = 0.5
"""Presence from which the judge sees an object."""


def deletion(judge: Judge, picture: Tensor, name: str, heat: Tensor) -> dict[str, float | None]:
    """Whether the judge loses an object when the region of its map (H, W) is painted over in the median colour of the
    rest, and when the region, moved by half a picture, is; None for both where it does not see the object at first."""
    region = regions_of(heat[None])[0]
    elsewhere = region.roll((SIDE // 2, SIDE // 2), (0, 1)) & ~region
    pictures = torch.cat([picture, *(_painted(picture, where) for where in (region, elsewhere))])
    before, gone, other = judge.look(pictures).presence()[:, judge.index(name)].tolist()
    if before < PRESENT:
        return dict.fromkeys(DELETED)
    return {"gone": float(gone < PRESENT), "gone_elsewhere": float(other < PRESENT)}


def _painted(picture: Tensor, where: Tensor) -> Tensor:
    """(1, 3, H, W) with the median colour of the rest where a mask (H, W) is."""
    rest = picture[0][:, ~where] if bool((~where).any()) else picture[0].flatten(1)  # (3, n)
    return torch.where(where, rest.median(1).values.view(1, 3, 1, 1), picture)
