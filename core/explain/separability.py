"""How well the strength of a concept separates one label from the others: whether it means one thing.

After the concept separability of *Evaluating Sparse Autoencoders for Monosemantic Representation* (2025, arXiv
2508.15094): the Jensen-Shannon distance between how strong a concept is in pictures with a label and in pictures
without. Ours: one label against all others, so that a concept that means one thing alone reaches 1, and beside it what
shuffled labels reach, since few pictures and many labels make distances out of chance.
"""

import math

import torch
from torch import Tensor

BINS, SHUFFLES = 8, 10


def separability(strengths: Tensor, present: Tensor) -> Tensor:
    """(K, L) in 0..1: the square root of the Jensen-Shannon divergence, in bits, between the strengths of each of K
    concepts in pictures with each of L labels and in pictures without; 0 for labels that all pictures bear, or none.

    Args:
        strengths: (P, K) >= 0; binned into 0 and :data:`BINS` bins of equal width up to the largest of each concept.
        present: (P, L) bool.
    """
    most = strengths.amax(0).clamp(min=1e-12)
    bins = (strengths / most * BINS).ceil().long().clamp(0, BINS)  # (P, K)
    there = torch.nn.functional.one_hot(bins, BINS + 1).double()  # (P, K, bins)
    labels = torch.stack([present, ~present]).double()  # (2, P, L)
    shares = torch.einsum("pkb,spl->sklb", there, labels)  # (2, K, L, bins)
    shares = shares / labels.sum(1)[:, None, :, None].clamp(min=1)
    divergence = _entropy(shares.mean(0)) - _entropy(shares).mean(0)  # (K, L)
    both = present.any(0) & ~present.all(0)
    return torch.where(both, (divergence / math.log(2)).clamp(0, 1).sqrt(), 0.0).float()


def by_chance(strengths: Tensor, present: Tensor, seed: int = 0) -> Tensor:
    """(K,) what the best label of each concept reaches where labels are dealt to pictures at random, on average."""
    generator, found = torch.Generator().manual_seed(seed), []
    for _ in range(SHUFFLES):
        order = torch.randperm(len(present), generator=generator)
        found.append(separability(strengths, present[order]).amax(1))
    return torch.stack(found).mean(0)


def _entropy(shares: Tensor) -> Tensor:
    return -(shares * shares.clamp(min=1e-12).log()).sum(-1)
