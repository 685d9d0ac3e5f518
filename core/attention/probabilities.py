"""Attention computed beside the model or in its place, from the queries and keys that a tap or an edit sees."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..backbone import AttentionCall

CHUNK_NUMBERS = 2**21  # logits held at once: 8 MB, which a processor's caches hold
GRAPH_NUMBERS = 2**24  # the same where gradients are on: every block adds to the gradients of all keys


def head_mean(
    query: Tensor,
    key: Tensor,
    scale: float,
    chunk: int | None = None,
    *,
    columns: slice | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """``softmax(query @ key^T * scale + bias)``, averaged over heads.

    Works through blocks of query rows with all heads together, so that a block's logits stay in the processor's caches
    until they are summed. With gradients on, what takes more is computed again in the backward pass, block by block, so
    that no layer's attention is held until then.

    Args:
        query: (B, heads, N, d).
        key: (B, heads, M, d).
        scale: factor before the softmax.
        chunk: most logits held at once, as long as one query row of the batch fits into it; default
            :data:`CHUNK_NUMBERS`, or :data:`GRAPH_NUMBERS` in the backward pass.
        columns: the keys to return, of all M that the softmax runs over; default all.
        bias: added to the logits, broadcast over (B, heads, N, M).

    Returns:
        (B, N, M) float32, or as many of the M as ``columns`` has; all M of a row sum to one. Part of the graph when
        gradients are on.
    """
    batch, heads, n, _ = query.shape
    keys, wanted = key.float().transpose(-1, -2), columns or slice(None)  # (B, heads, d, M)
    row = batch * heads * key.shape[2]  # logits of one query row
    in_graph = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad)
    if in_graph and n * row > (chunk or CHUNK_NUMBERS):
        again = partial(checkpoint, _summed, use_reentrant=False, preserve_rng_state=False)
        blocks = _blocks(query, bias, (chunk or GRAPH_NUMBERS) // row)
        return torch.cat([again(block, keys, scale, own, wanted) for block, own in blocks], 1) / heads
    mean, start = torch.empty(batch, n, len(range(key.shape[2])[wanted]), device=query.device), 0
    for block, own in _blocks(query, bias, (chunk or CHUNK_NUMBERS) // row):
        mean[:, start : start + block.shape[2]] = _summed(block, keys, scale, own, wanted)
        start += block.shape[2]
    return mean.div_(heads)


def _blocks(query: Tensor, bias: Tensor | None, step: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Query rows (B, heads, n, d) of at most ``step``, at least one, and the bias on their logits."""
    start = 0
    for block in query.split(max(1, step), dim=2):  # one split, whose gradient is put together once
        rows = slice(start, start + block.shape[2])
        yield block, bias[..., rows, :] if bias is not None and bias.shape[-2] > 1 else bias
        start = rows.stop


def _summed(query: Tensor, keys: Tensor, scale: float, bias: Tensor | None, wanted: slice) -> Tensor:
    """(B, n, m) of some of the keys, summed over heads."""
    return _shares(query, keys, scale, bias)[..., wanted].sum(1)


def _shares(query: Tensor, keys: Tensor, scale: float, bias: Tensor | None) -> Tensor:
    """(B, heads, n, M) softmax of queries over keys (B, heads, d, M)."""
    logits = (query.float() * scale) @ keys  # scaled before the product: queries are smaller than logits
    return (logits if bias is None else logits + bias).softmax(-1)


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
    step = chunk // (query.shape[0] * query.shape[1] * key.shape[2])
    keys, blocks = key.float().mT, _blocks(query, bias, step)
    return torch.cat([_shares(block, keys, scale, own)[..., columns] for block, own in blocks], dim=2)


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float, bias: Tensor | None = None) -> Tensor:
    """Attention (B, heads, N, d) of queries to keys (B, heads, M, d), with a bias on the logits (B or 1, 1, N, M)."""
    bias = None if bias is None else bias.to(query.dtype)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
