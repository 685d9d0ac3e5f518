"""Which words of a vocabulary are present in a picture, by how far they stand out from words in general.

The first half of *What You Perceive Is What You Conceive* (open-vocabulary segmentation that names what is there before
it looks where). The paper has a generative language model name things; this is left out. Here a word is present where
its similarity to the picture lies above that of other words by a number of deviations, the robust ones of the same
picture (median and median absolute deviation), and not far below the best word's lead.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...evaluate.similarity import unit
from ...settings import Settings, setting

NORMAL = 1.4826
"""The standard deviation of a normal distribution over its median absolute deviation."""


@dataclass(frozen=True)
class ConceiveSettings(Settings):
    """Settings of :func:`conceive`; each field's help is in its metadata."""

    surety: float = setting(1.5, "Deviations by which a word must stand out from other words.", least=0, most=20)
    share: float = setting(0.8, "Least lead of a word as a share of the best word's.", least=0, most=1)
    most: int = setting(6, "Words of a picture at most.", least=1)


def conceive(
    pictures: Tensor, words: Tensor, others: Tensor, settings: ConceiveSettings | None = None
) -> tuple[Tensor, Tensor]:
    """Which of V words each of P pictures shows.

    Args:
        pictures: (P, D) features. words: (V, D), the vocabulary, in the same space.
        others: (N, D) words in general, beside which the vocabulary must stand out.

    Returns:
        (P, V) bool, and (P, V) the lead of each word in deviations.

    Raises ``ValueError`` where there are fewer than eight words in all: what stands out among so few means nothing.
    """
    settings = settings or ConceiveSettings()
    if len(words) + len(others) < 8:
        raise ValueError(f"what stands out is found among at least 8 words in all, got {len(words) + len(others)}")
    seen = unit(pictures)
    every = seen @ unit(torch.cat([words, others])).T  # (P, V + N)
    middle = every.median(1, keepdim=True).values
    spread = NORMAL * (every - middle).abs().median(1, keepdim=True).values
    lead = (every[:, : len(words)] - middle) / spread.clamp(min=1e-8)  # (P, V)
    best = lead.amax(1, keepdim=True)
    few = torch.zeros_like(lead, dtype=torch.bool)
    few.scatter_(1, lead.topk(min(settings.most, len(words)), 1).indices, True)
    return few & (lead >= settings.surety) & (lead >= settings.share * best), lead
