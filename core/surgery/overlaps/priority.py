"""The first skill's change where skills overlap."""

import torch
from torch import Tensor

from ..stitcher import OverlapRule


def _merge(values: Tensor, present: Tensor) -> Tensor:
    return values.gather(0, present.to(torch.uint8).argmax(0, keepdim=True))[0]


RULE = OverlapRule(
    "priority",
    "Priority",
    "A parameter that several skills change gets the change of the first skill that has one.",
    _merge,
)
