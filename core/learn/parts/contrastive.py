"""Keeping the tokens of one concept together and those of others apart.

The supervised contrastive loss of Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, arXiv 2004.11362,
eq. 2, on token vectors, as ConceptExpress uses it while a concept is split into several tokens.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def contrastive(rows: Tensor, labels: Tensor, temperature: float = 0.07) -> Tensor:
    """The mean over tokens a of ``-1/|P(a)| sum_{p in P(a)} log(exp(e_a e_p / t) / sum_{b != a} exp(e_a e_b / t))``.

    P(a) are the other tokens with the label of a, e the vectors at unit length.

    Args:
        rows: (K, D), any length; gradients reach them.
        labels: (K,) long, the concept of each.
        temperature: t above 0; small values look at the nearest tokens only.

    Returns:
        a scalar; 0 when no token shares its label with another, because nothing is to be pulled together then.
    """
    apart = ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)  # (K, K)
    together = (labels[:, None] == labels).to(rows.device) & apart  # (K, K)
    if not together.any():
        return rows.sum() * 0
    unit = F.normalize(rows, dim=1)  # (K, D)
    logits = (unit @ unit.T / temperature).masked_fill(~apart, -torch.inf)  # (K, K)
    log_shares = (logits - logits.logsumexp(1, keepdim=True)).masked_fill(~together, 0)  # (K, K)
    return -(log_shares.sum(1) / together.sum(1).clamp_min(1)).mean()


def closeness(rows: Tensor, margin: float) -> Tensor:
    """The mean over pairs of tokens of ``max(cos(e_a, e_b) - margin, 0)``.

    Args:
        rows: (N, D), one token of each concept; gradients reach them.
        margin: the cosine up to which two tokens count as apart.

    Returns:
        a scalar; 0 for a single token.
    """
    unit = F.normalize(rows, dim=1)  # (N, D)
    cosines = (unit @ unit.T)[tuple(torch.triu_indices(len(rows), len(rows), 1))]  # (pairs,)
    return (cosines - margin).clamp_min(0).sum() / max(len(cosines), 1)
