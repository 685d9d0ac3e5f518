"""All changes where skills overlap (task arithmetic, Ilharco et al., arXiv 2212.04089, of localised parameters)."""

from torch import Tensor

from ..stitcher import OverlapRule


def _merge(values: Tensor, present: Tensor) -> Tensor:
    return values.sum(0)


RULE = OverlapRule(
    "sum",
    "Sum",
    "A parameter that several skills change gets the sum of all changes, as LoRA loaders add them.",
    _merge,
)
