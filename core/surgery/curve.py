"""How much of a fine-tune a share of its parameters brings back (skill localisation, Panigrahi et al., ICML 2023,
arXiv 2302.06600).

A grafted model has the fine-tune's parameters where gamma is 1 and the base's elsewhere:

    theta = gamma * theta_tuned + (1 - gamma) * theta_base

Here pictures take the place of test accuracy: with s the mean cosine of a grafted model's pictures to the fine-tune's
from the same noise, and s_0 that of the base's, a share brings back (s - s_0) / (1 - s_0).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ENOUGH = 0.95
LEAST_DIFFERENCE = 0.01
"""1 - s_0 below which the fine-tune draws the prompts as the base does."""


@dataclass(frozen=True, eq=False)
class GraftCurve:
    """What shares bring back.

    Attributes:
        shares: (S,) rising, of the parameters in weights that the fine-tune changed.
        likeness: (S, K) cosine of each picture to the fine-tune's from the same noise.
        base: (K,) that of the base's pictures.
    """

    shares: tuple[float, ...]
    likeness: Tensor
    base: Tensor

    @property
    def recovered(self) -> Tensor:
        """(S,) of the way from the base to the fine-tune."""
        floor = self.base.mean()
        return (self.likeness.mean(1) - floor) / (1 - floor)

    @property
    def chosen(self) -> int | None:
        """The index of the smallest share that brings back 95 %, with all greater ones; None if none does."""
        enough = self.recovered >= ENOUGH
        below = (~enough).nonzero()
        first = int(below[-1]) + 1 if len(below) else 0
        return first if first < len(self.shares) else None


def curve_of(shares: Sequence[float], tuned: Tensor, base: Tensor, grafted: Sequence[Tensor]) -> GraftCurve:
    """The curve of unit features (K, D) of pictures from the same noise.

    Args:
        shares: rising.
        tuned: of the fine-tune's pictures.
        base: of the base's.
        grafted: of those of each share.

    Raises ``ValueError`` if the fine-tune draws the prompts as the base does.
    """
    floor = (tuned * base).sum(-1)
    if 1 - float(floor.mean()) < LEAST_DIFFERENCE:
        raise ValueError(
            f"the fine-tune draws these prompts as the model does (likeness {float(floor.mean()):.3f}), so that there "
            "is nothing to bring back; name prompts that show what it learnt"
        )
    return GraftCurve(tuple(shares), torch.stack([(tuned * one).sum(-1) for one in grafted]), floor)
