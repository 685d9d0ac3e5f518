"""Attention probabilities computed beside the model, from the queries and keys that a tap sees."""

import torch
from torch import Tensor

from ..backbone import AttentionCall

CHUNK_NUMBERS = 2**22  # logits held at once: 16 MB


def head_mean(query: Tensor, key: Tensor, scale: float, chunk: int = CHUNK_NUMBERS) -> Tensor:
    """``softmax(query @ key^T * scale)``, averaged over heads.

    Args:
        query: (B, heads, N, d).
        key: (B, heads, M, d).
        scale: factor before the softmax.
        chunk: most logits held at once, as long as one head of the batch fits into it.

    Returns:
        (B, N, M) float32, rows sum to one; part of the graph when gradients are on.
    """
    batch, heads, n, _ = query.shape
    step = max(1, chunk // (batch * n * key.shape[2]))
    total: Tensor | None = None
    for start in range(0, heads, step):
        part = slice(start, start + step)
        # Scaled before the product: queries are smaller than logits.
        logits = (query[:, part].float() * scale) @ key[:, part].float().transpose(-1, -2)
        sums = logits.softmax(-1).sum(1)  # (B, heads, N, M) to (B, N, M)
        total = sums if total is None else total + sums
    assert total is not None
    return total / heads


def conditional_mean(call: AttentionCall) -> Tensor:
    """The head mean (B', N, M) of a call's rows that belong to the positive conditioning."""
    if all(call.conditional):
        return head_mean(call.query, call.key, call.scale)
    rows = torch.tensor(call.conditional, device=call.query.device)
    return head_mean(call.query[rows], call.key[rows], call.scale)
