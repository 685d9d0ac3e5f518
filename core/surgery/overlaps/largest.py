"""The greatest change where skills overlap."""

from torch import Tensor

from ..stitcher import OverlapRule


def _merge(values: Tensor, present: Tensor) -> Tensor:
    return values.gather(0, values.abs().argmax(0, keepdim=True))[0]


RULE = OverlapRule(
    "largest", "Largest", "A parameter that several skills change gets the change of largest magnitude.", _merge
)
