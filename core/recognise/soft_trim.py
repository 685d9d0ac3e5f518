"""The adaptive soft trim of CGBC (*Concept-Guided Bayesian Classification*, CVPR 2026): a mean that low outliers do
not move.

Scores of one class under C concepts are weighted by how far they lie above or below their median, in units of the
median absolute deviation. The more outliers there are, the flatter the weights. As published, a single concept far
above the others still wins a class. Two remedies are ours: the upper bound cuts scores at so many deviations above the
median, and where all classes were asked about the same concepts, :func:`beyond_others` takes off what a concept gives
to every class, so that a concept which fits one class alone stands out from the other concepts of that class.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..settings import Settings, setting

EPS = 1e-6
LEAST_SLOPE, MOST_SLOPE = 0.1, 4.0


@dataclass(frozen=True)
class TrimSettings(Settings):
    """Settings of :func:`soft_trim`."""

    reach: float = setting(2.5, "Deviations from the median beyond which a concept counts as an outlier.", above=0)
    upper: float = setting(1.0, "Deviations above the median at which scores are cut; 0 cuts none.", least=0)
    beyond: bool = setting(True, "Where all classes have the same concepts, count what a class has beyond the others.")


def soft_trim(scores: Tensor, settings: TrimSettings | None = None) -> tuple[Tensor, Tensor]:
    """Scores (..., C) of C concepts as one, (...), and the weight of each concept, (..., C), that sum to one.

    With m the median, d the median absolute deviation and r the share of concepts beyond ``reach`` deviations, the
    weight is sigmoid(k (s - m) / d) with k = ln((1 - r) / r) held between 0.1 and 4.

    Raises ``ValueError`` without concepts.
    """
    settings = settings or TrimSettings()
    if not scores.shape[-1]:
        raise ValueError("a class needs at least one concept, got none")
    middle = scores.quantile(0.5, -1, keepdim=True)
    apart = (scores - middle).abs().quantile(0.5, -1, keepdim=True) + EPS
    if settings.upper:
        scores = scores.minimum(middle + settings.upper * apart)
    share = ((scores - middle).abs() > settings.reach * apart).float().mean(-1, keepdim=True)
    slope = ((1 - share).clamp(min=EPS) / share.clamp(min=EPS)).log().clamp(LEAST_SLOPE, MOST_SLOPE)
    weights = torch.sigmoid(slope * (scores - middle) / apart)
    weights = weights / weights.sum(-1, keepdim=True)
    return (weights * scores).sum(-1), weights


def beyond_others(scores: Tensor) -> Tensor:
    """Scores (..., K, C) of K classes under the same C concepts, less the median of the classes for each concept.

    CGBC sums p(y|x, c) p(c|x) over concepts c, in which p(y|x, c) compares the classes under one concept; this is the
    logarithm of that ratio up to a constant, with a median in place of the sum, which one false score does not move.
    """
    return scores - scores.quantile(0.5, -2, keepdim=True)
