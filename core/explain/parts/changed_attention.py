"""Attention of a layer whose queries and keys are changed as recorded activations are."""

import torch
from torch import Tensor

from ...attention.probabilities import attend
from ...backbone import AttentionInputs


def attend_changed(inputs: AttentionInputs, changes: Tensor) -> Tensor:
    """The output (B, heads, N, d) of a layer with changes (B, h * w, 2 * heads * d) added to queries and keys, in the
    order in which they are recorded. Of a joint layer only the picture's rows change."""
    call = inputs.call
    query, key = (
        half.unflatten(-1, (call.query.shape[1], -1)).transpose(1, 2)
        for half in changes.to(call.query).chunk(2, dim=-1)
    )  # (B, heads, h * w, d) each
    if call.columns is not None:
        query, key = (_placed(half, call.columns, like) for half, like in ((query, call.query), (key, call.key)))
    return attend(call.query + query, call.key + key, inputs.value, call.scale, call.bias)


def recorded_rows(inputs: AttentionInputs) -> Tensor:
    """Queries and keys (B, h * w, 2 * heads * d) of a layer, as they are recorded."""
    call = inputs.call
    columns = call.columns or slice(None)
    parts = [part[:, :, columns].transpose(1, 2).flatten(2) for part in (call.query, call.key)]
    return torch.cat(parts, -1)


def _placed(half: Tensor, columns: slice, like: Tensor) -> Tensor:
    """Changes of some rows among zeros, as many as ``like`` has."""
    return torch.nn.functional.pad(half, (0, 0, columns.start, like.shape[2] - columns.stop))
