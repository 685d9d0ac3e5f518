"""Average where skills overlap (Localize-and-Stitch, arXiv 2408.13656): gamma'_i = gamma_i / sum_l gamma_l."""

from torch import Tensor

from ..stitcher import OverlapRule


def _merge(values: Tensor, present: Tensor) -> Tensor:
    return values.sum(0) / present.sum(0)


RULE = OverlapRule(
    "average",
    "Average",
    "A parameter that several skills change gets the mean of the changes (the paper's rule).",
    _merge,
)
