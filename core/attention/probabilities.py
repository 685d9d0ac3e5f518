"""Attention probabilities computed beside the model, from the queries and keys that a tap sees."""

import torch
from torch import Tensor

from ..backbone import AttentionCall

CHUNK_NUMBERS = 2**21  # logits held at once: 8 MB, which a processor's caches hold


def head_mean(query: Tensor, key: Tensor, scale: float, chunk: int = CHUNK_NUMBERS) -> Tensor:
    """``softmax(query @ key^T * scale)``, averaged over heads.

    Works through blocks of query rows with all heads together, so that a block's logits stay in the processor's caches
    until they are summed.

    Args:
        query: (B, heads, N, d).
        key: (B, heads, M, d).
        scale: factor before the softmax.
        chunk: most logits held at once, as long as one query row of the batch fits into it.

    Returns:
        (B, N, M) float32, rows sum to one; part of the graph when gradients are on.
    """
    batch, heads, n, _ = query.shape
    keys = key.float().transpose(-1, -2)  # (B, heads, d, M)
    step = max(1, chunk // (batch * heads * key.shape[2]))
    mean = torch.empty(batch, n, key.shape[2], device=query.device)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        # Scaled before the product: queries are smaller than logits.
        logits = (query[:, :, rows].float() * scale) @ keys  # (B, heads, rows, M)
        mean[:, rows] = logits.softmax(-1).sum(1)
    return mean.div_(heads)


def conditional_mean(call: AttentionCall) -> Tensor:
    """The head mean (B', N, M) of a call's rows that belong to the positive conditioning."""
    if all(call.conditional):
        return head_mean(call.query, call.key, call.scale)
    rows = torch.tensor(call.conditional, device=call.query.device)
    return head_mean(call.query[rows], call.key[rows], call.scale)
