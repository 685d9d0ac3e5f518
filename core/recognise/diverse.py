"""The most different of many texts or pictures: greedy selection under a determinantal point process.

As CGBC chooses prompts (CVPR 2026): with the kernel L of cosines, each further item is the one with the largest
variance left, L_ii - L_iS (L_SS + eps I)^-1 L_Si, which makes the determinant of the chosen kernel largest step by
step.
"""

import torch
from torch import Tensor

from ..evaluate.similarity import unit

EPS = 1e-5


def pick_diverse(features: Tensor, count: int) -> list[int]:
    """Numbers of at most ``count`` rows (n, D) that differ most from one another, as they are chosen; the first row
    begins.

    Raises ``ValueError`` for a count below 1, and for features without length.
    """
    if count < 1:
        raise ValueError(f"at least 1 must be picked, got {count}")
    kernel = unit(features).double()
    kernel = kernel @ kernel.T  # (n, n)
    chosen: list[int] = []
    left = kernel.diagonal().clone()  # (n,) variance left of each
    seen = torch.zeros(0, len(kernel), dtype=torch.float64)  # (s, n) rows of the Cholesky factor
    for _ in range(min(count, len(kernel))):
        left[chosen] = -torch.inf
        best = int((left > left.max() - 1e-6).nonzero()[0])  # the first of equals
        row = (kernel[best] - seen[:, best] @ seen) / (kernel[best, best] + EPS - seen[:, best].square().sum()).sqrt()
        chosen.append(best)
        seen = torch.cat([seen, row[None]])
        left = kernel.diagonal() - seen.square().sum(0)
    return chosen
