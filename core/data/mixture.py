"""Whether numbers fall into two groups: a mixture of two Gaussians beside a single one.

Fitted by expectation and maximisation from the split that divides the numbers best. Two groups are believed in only
where the Bayesian information criterion is clearly better for two (by 10, Kass and Raftery 1995), where the groups
stand apart (Ashman's D above 2: D = sqrt(2) |m_1 - m_2| / sqrt(s_1^2 + s_2^2)), and where the lower one is not the
greater part.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

ITERATIONS = 50
CLEARLY, APART, MOST = 10.0, 2.0, 0.6
"""By how much the criterion must fall, the least D, and the greatest share of the lower group."""
FEWEST = 20
"""Numbers below which nothing is reported."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """Two groups of numbers (n,).

    Attributes:
        share: of the lower group.
        means, spreads: of the lower and the upper group.
        lower: (n,) probability of each number to be of the lower group; never rising with the number.
        gain: by how much the information criterion falls from one group to two.
    """

    share: float
    means: tuple[float, float]
    spreads: tuple[float, float]
    lower: Tensor
    gain: float

    @property
    def apart(self) -> float:
        """Ashman's D."""
        return math.sqrt(2) * (self.means[1] - self.means[0]) / math.hypot(*self.spreads)

    @property
    def evident(self) -> bool:
        """Whether there are two groups at all."""
        return self.gain > CLEARLY and self.apart > APART and self.share <= MOST


def two_groups(values: Tensor) -> Mixture | None:
    """The mixture of numbers (n,); None for fewer than :data:`FEWEST` and for numbers that are all alike."""
    values = values.double()
    if len(values) < FEWEST or float(values.std()) < 1e-9:
        return None
    floor = 1e-3 * float(values.var())
    mark = _best_split(values)
    lower = (values <= mark).double()  # (n,)
    for _ in range(ITERATIONS):
        share, means, variances = _groups(values, lower, floor)
        each = torch.stack([_log_density(values, means[k], variances[k]) for k in range(2)])  # (2, n)
        each = each + torch.tensor([[share], [1 - share]], dtype=torch.float64).log()
        lower = each.softmax(0)[0]
    fitted = float(each.logsumexp(0).sum())
    single = float(_log_density(values, float(values.mean()), float(values.var(correction=0))).sum())
    gain = 2 * (fitted - single) - 3 * math.log(len(values))
    spreads = math.sqrt(variances[0]), math.sqrt(variances[1])
    return Mixture(share, means, spreads, _falling(values, lower, means[1]).float(), gain)


def _best_split(values: Tensor) -> float:
    """The greatest number of the lower part where two means leave least spread (k-means of two in one dimension)."""
    ordered = values.sort().values
    count = torch.arange(1, len(values), dtype=torch.float64)
    before, total = ordered.cumsum(0)[:-1], ordered.sum()
    between = before.square() / count + (total - before).square() / (len(values) - count)  # (n - 1,)
    return float(ordered[int(between.argmax())])


def _groups(values: Tensor, lower: Tensor, floor: float) -> tuple[float, tuple[float, float], tuple[float, float]]:
    """Share of the lower group, means and variances; the groups change places where their means have."""
    found = []
    for weight in (lower, 1 - lower):
        total = float(weight.sum().clamp(min=1e-9))
        mean = float((weight * values).sum()) / total
        variance = float((weight * (values - mean).square()).sum()) / total
        found.append((total / len(values), mean, max(variance, floor)))
    (share, low, tight), (_, high, wide) = sorted(found, key=lambda one: one[1])
    return min(max(share, 1e-6), 1 - 1e-6), (low, high), (tight, wide)


def _log_density(values: Tensor, mean: float, variance: float) -> Tensor:
    return -0.5 * ((values - mean).square() / variance + math.log(2 * math.pi * variance))


def _falling(values: Tensor, lower: Tensor, high: float) -> Tensor:
    """Probabilities that never rise with the number, 0 from the upper mean on: a wide group has far tails."""
    order = values.argsort(descending=True)
    bounded = torch.where(values >= high, 0.0, lower)[order].cummax(0).values
    return bounded[order.argsort()]
