"""A vote on the sign where skills overlap (TIES-Merging, Yadav et al., arXiv 2306.01708).

The sign is that of the sum of all changes; the mean of those that agree with it is taken.
"""

import torch
from torch import Tensor

from ..stitcher import OverlapRule


def _merge(values: Tensor, present: Tensor) -> Tensor:
    agree = present & (values.sign() == values.sum(0).sign())  # (k, n)
    return torch.where(agree, values, 0).sum(0) / agree.sum(0).clamp(min=1)


RULE = OverlapRule(
    "sign_vote",
    "Sign vote",
    (
        "A parameter that several skills change gets the mean of the changes whose sign wins a vote weighted "
        "by their size."
    ),
    _merge,
)
