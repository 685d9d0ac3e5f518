"""Attention computed beside the model or in its place, from the queries and keys that a tap or an edit sees."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..backbone import AttentionCall

CHUNK_NUMBERS = 2**21  # logits held at once: 8 MB, which a processor's caches hold


def head_mean(
    query: Tensor,
    key: Tensor,
    scale: float,
    chunk: int = CHUNK_NUMBERS,
    *,
    columns: slice | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """``softmax(query @ key^T * scale + bias)``, averaged over heads.

    Works through blocks of query rows with all heads together, so that a block's logits stay in the processor's caches
    until they are summed.

    Args:
        query: (B, heads, N, d).
        key: (B, heads, M, d).
        scale: factor before the softmax.
        chunk: most logits held at once, as long as one query row of the batch fits into it.
        columns: the keys to return, of all M that the softmax runs over; default all.
        bias: added to the logits, broadcast over (B, heads, N, M).

    Returns:
        (B, N, M) float32, or as many of the M as ``columns`` has; all M of a row sum to one. Part of the graph when
        gradients are on.
    """
    batch, heads, n, _ = query.shape
    keys = key.float().transpose(-1, -2)  # (B, heads, d, M)
    wanted = columns or slice(None)
    step = max(1, chunk // (batch * heads * key.shape[2]))
    mean = torch.empty(batch, n, len(range(key.shape[2])[wanted]), device=query.device)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        # Scaled before the product: queries are smaller than logits.
        logits = (query[:, :, rows].float() * scale) @ keys  # (B, heads, rows, M)
        if bias is not None:
            logits = logits + (bias[..., rows, :] if bias.shape[-2] > 1 else bias)
        mean[:, rows] = logits.softmax(-1)[..., wanted].sum(1)
    return mean.div_(heads)


def call_mean(call: AttentionCall) -> Tensor:
    """The head mean (B, N, M) of a call, of a joint site's view the M keys that it hands out."""
    return head_mean(call.query, call.key, call.scale, columns=call.columns, bias=call.bias)


def conditional_mean(call: AttentionCall) -> Tensor:
    """:func:`call_mean` of the rows (B', N, M) that belong to the positive conditioning."""
    if all(call.conditional):
        return call_mean(call)
    rows = torch.tensor(call.conditional, device=call.query.device)
    bias = call.bias[rows] if call.bias is not None and call.bias.ndim == 4 and len(call.bias) > 1 else call.bias
    return call_mean(replace(call, query=call.query[rows], key=call.key[rows], bias=bias))


def column_shares(
    query: Tensor,
    key: Tensor,
    scale: float,
    columns: list[int],
    bias: Tensor | None = None,
    chunk: int = CHUNK_NUMBERS,
) -> Tensor:
    """``softmax(query @ key^T * scale + bias)`` of a few keys, for each head.

    Args:
        query: (B, heads, N, d).
        key: (B, heads, M, d).
        scale: factor before the softmax.
        columns: k of the M keys.
        bias: added to the logits, broadcast over (B, heads, N, M).
        chunk: most logits held at once, as long as one query row of the batch fits into it.

    Returns:
        (B, heads, N, k) float32; the softmax runs over all M.
    """
    batch, heads, n, _ = query.shape
    keys, step = key.float().mT, max(1, chunk // (batch * heads * key.shape[2]))
    found = []
    for start in range(0, n, step):
        rows = slice(start, start + step)
        logits = query[:, :, rows].float() * scale @ keys  # (B, heads, step, M)
        if bias is not None:
            logits = logits + (bias[..., rows, :] if bias.shape[-2] > 1 else bias)
        found.append(logits.softmax(-1)[..., columns])
    return torch.cat(found, dim=2)


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float, bias: Tensor | None = None) -> Tensor:
    """Attention (B, heads, N, d) of queries to keys (B, heads, M, d), with a bias on the logits (B or 1, 1, N, M)."""
    bias = None if bias is None else bias.to(query.dtype)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
