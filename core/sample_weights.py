"""Weights of pictures between a labelled loss and consistency, on the simplex (AdaWAC, Dong et al., ICML 2023, arXiv
2210.01891).

    beta_i0 <- beta_i0 exp( eta (l_label,i - l_consistency,i) ) ,   then beta_i0 + beta_i1 = 1

A diffusion model's loss depends on the noise level far more than on the picture, so losses are standardised within each
level before they are compared (ours).
"""

import torch
from torch import Tensor

RATE, GREATEST = 2.0, 0.9
"""Step of the ascent (the paper's), and the most that a label may weigh."""


def ascend(weights: Tensor, labelled: Tensor, consistency: Tensor, rate: float = RATE) -> Tensor:
    """One step of mirror ascent on the simplex.

    Args:
        weights: (n,) beta_i0 in 0..1.
        labelled, consistency: (n,) losses.
        rate: eta.
    """
    return torch.special.expit(torch.logit(weights, eps=1e-6) + rate * (labelled - consistency))


class RunningScale:
    """Standardises numbers as they come, within each level, by the mean and the spread of those so far.

    Attributes:
        seen: (levels, 3) float64: how many there were, their mean, and the sum of their squared distances from it.
    """

    def __init__(self, levels: int) -> None:
        self.seen = torch.zeros(levels, 3, dtype=torch.float64)

    def standardised(self, value: float, level: int) -> float:
        """The number, which counts from now on, in spreads from the mean; 0 while all of the level were alike."""
        count, mean, squares = self.seen[level].tolist()
        count += 1
        step = (value - mean) / count
        squares += (value - mean) * (value - mean - step)
        mean += step
        self.seen[level] = torch.tensor([count, mean, squares], dtype=torch.float64)
        spread = (squares / count) ** 0.5
        return (value - mean) / spread if spread > 1e-12 else 0.0
