"""How probable it is that a picture shows what its caption does not mention.

Captions of a folder are labels of which some are missing (positive and unlabelled, Elkan and Noto 2008). Two numbers
count for a concept: how similar the picture, or the best of its windows, is to the word beyond its similarity to most
words, and what a ridge regression, fitted to the features of the other pictures and to which of them mention it,
predicts for this one. Pictures that mention it and the others are two Gaussians with one covariance; the share of the
others that show it all the same follows from how often captions leave out what is there. The regression is then fitted
again to these probabilities in place of the missing labels, a few times (self-training).
"""

import torch
from torch import Tensor

RIDGE = 100.0
FEWEST = 3
"""Pictures that mention a concept, below which it is not judged."""
MOST_SHARE = 0.9
ROUNDS = 3
"""Fits; more than three changed nothing on development folders of the lab."""


def relative(similar: Tensor) -> Tensor:
    """(P, K) how similar the best of N views of each picture is to a word, beyond the median of all words.

    Args:
        similar: (P, N, K) similarities of views to words. Each word's are standardised over all views first, since some
            words are near to everything; the median is that of a word which the view does not show.
    """
    spread = similar.std((0, 1)).clamp(min=1e-6)
    standard = (similar - similar.mean((0, 1))) / spread
    return (standard - standard.median(2, keepdim=True).values).amax(1)


def probabilities(pictures: Tensor, similar: Tensor, mentioned: Tensor, omitted: float) -> Tensor:
    """(P, K) the probability that each picture shows each concept, for those that do not mention it; 0 for concepts
    that too few captions mention, or too few leave out.

    Args:
        pictures: (P, D) features. similar: (P, K) of :func:`relative`. mentioned: (P, K) bool.
        omitted: share of what pictures show that captions leave out, between 0 and 1.
    """
    labels, found = mentioned.float(), torch.zeros(mentioned.shape)
    for _ in range(ROUNDS):
        found = _judged(torch.stack([left_out(pictures, labels), similar], 2).double(), mentioned, omitted)
        labels = torch.where(mentioned, 1.0, found)
    return found


def _judged(seen: Tensor, mentioned: Tensor, omitted: float) -> Tensor:
    """(P, K) probabilities from two numbers of each picture and concept, (P, K, 2)."""
    found = torch.zeros(mentioned.shape)
    for concept in range(mentioned.shape[1]):
        on, share = mentioned[:, concept], float(mentioned[:, concept].float().mean())
        if int(on.sum()) < FEWEST or int((~on).sum()) < FEWEST:
            continue
        rows = seen[:, concept]
        with_it, without = rows[on].mean(0), rows[~on].mean(0)
        rest = torch.where(on[:, None], rows - with_it, rows - without)
        spread = rest.T @ rest / len(rest)
        spread = spread + 1e-9 * torch.eye(2) + 1e-4 * spread.diagonal().diag()
        across = torch.linalg.solve(spread, with_it - without)  # (2,)
        prior = min(MOST_SHARE, omitted / (1 - omitted) * share / (1 - share))
        lean = torch.tensor(prior / (1 - prior), dtype=torch.float64).log()
        found[:, concept] = torch.sigmoid((rows - (with_it + without) / 2) @ across + lean).float()
    return found


def left_out(pictures: Tensor, labels: Tensor, strength: float = RIDGE) -> Tensor:
    """(P, K) what ridge regressions from features (P, D) to labels (P, K) in 0..1 predict for each picture, fitted to
    the others."""
    rows = (pictures - pictures.mean(0)) / pictures.std(0).clamp(min=1e-6)
    count = len(rows)
    gram = rows @ rows.T
    hat = gram @ torch.linalg.inv(gram + strength * torch.eye(count)) + 1 / count  # (P, P)
    wanted, own = labels.float(), hat.diagonal()[:, None].clamp(max=1 - 1e-6)
    return (hat @ wanted - own * wanted) / (1 - own)
