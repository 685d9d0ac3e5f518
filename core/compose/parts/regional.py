"""Attention in regions: each cell of the picture reads the text of its region, and regions do not read each other.

Cross-attention mixes the outputs of several texts by masks. Joint attention of transformers has one softmax, whose
logits get a bias; the texts of regions do not read each other there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...backbone import AttentionCall, AttentionInputs
from ...types import LowRank
from ..composition import Composition, Region
from .adapters import added

UNREAD = -1e4
"""The bias of keys that are not read. It is finite: a row whose keys are all unread has no NaN."""


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float, bias: Tensor | None = None) -> Tensor:
    """Attention (B, heads, N, d) of queries to keys (B, heads, M, d), with a bias on the logits (B or 1, 1, N, M)."""
    bias = None if bias is None else bias.to(query.dtype)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)


@dataclass(frozen=True, eq=False)
class Shares:
    """How much the prompt and each region's text count in each cell.

    Attributes:
        prompt: (B or 1, h, w).
        regions: (B or 1, R, h, w); together with the prompt they add up to one.
    """

    prompt: Tensor
    regions: Tensor


def shares(regions: Sequence[Region], masks: Tensor, share: float, of_prompt: float) -> Shares:
    """Shares of the texts in each cell at a share of denoising.

    Where several regions overlap each has its part; in none the prompt has all.

    Args:
        regions: R of them.
        masks: (B or 1, R, h, w) in 0..1.
        share: of denoising; regions that do not count then have none.
        of_prompt: the prompt's share inside a region of weight 1.
    """
    counts = [region.counts(share) for region in regions]
    weights = masks * torch.tensor(counts, device=masks.device, dtype=masks.dtype).view(1, -1, 1, 1)
    total = weights.sum(1)  # (B or 1, h, w)
    taken = total.clamp(max=1) * (1 - of_prompt)
    return Shares(1 - taken, weights / total.clamp_min(1e-6)[:, None] * taken[:, None])


def mix_texts(inputs: AttentionInputs, composition: Composition, parts: Shares) -> Tensor:
    """The output (B, heads, N, d) of a cross-attention layer in which each cell reads its share of every text.

    ``sum over texts t of  share_t * softmax(Q K_t^T) V_t``.
    """
    call = inputs.call
    nothing: Mapping[tuple[str, str], LowRank] = {}
    texts = [(composition.base, parts.prompt, nothing)]
    texts += [(r.columns, parts.regions[:, index], r.adapter) for index, r in enumerate(composition.regions)]
    mixed = torch.zeros_like(call.query)
    for columns, part, adapter in texts:
        if bool(part.any()):
            part = part.flatten(1)[:, None, :, None].to(mixed.dtype)  # (B or 1, 1, N, 1)
            rows = composition.conditioning.context[:, columns]  # (1, l, D)
            key, value = (
                seen[:, :, columns] + added(rows, adapter[place], seen) if place in adapter else seen[:, :, columns]
                for seen, place in ((call.key, (call.site.name, "key")), (inputs.value, (call.site.name, "value")))
            )
            mixed = mixed + part * attend(call.query, key, value, call.scale)
    return mixed


def isolate(inputs: AttentionInputs, masks: Tensor, strength: float) -> Tensor:
    """The output of a self-attention layer whose cells in one region do not read those of another.

    Args:
        inputs: of the layer.
        masks: (B or 1, R, h, w); where the layer has several rows for each picture, they follow one another in rounds.
        strength: 1 reads nothing of other regions, 0 changes nothing.
    """
    call = inputs.call
    bias = isolation(masks, strength)  # (B or 1, 1, N, N)
    bias = bias.repeat(len(call.query) // len(bias), 1, 1, 1) if len(bias) > 1 else bias
    return attend(call.query, call.key, inputs.value, call.scale, bias)


def isolation(masks: Tensor, strength: float) -> Tensor:
    """(B, 1, N, N) bias between cells: ``log(1 - strength * alien)``, where a pair is alien so far as it lies in two
    regions and shares none."""
    inside = masks.flatten(2)  # (B, R, N)
    anywhere = inside.amax(1)  # (B, N)
    shared = torch.einsum("brn,brm->bnm", inside, inside).clamp(max=1)
    alien = (anywhere[:, :, None] * anywhere[:, None, :] - shared).clamp(0, 1)
    return _log(1 - strength * alien)[:, None]


def joint_bias(call: AttentionCall, composition: Composition, parts: Shares, masks: Tensor, strength: float) -> Tensor:
    """(B or 1, 1, N, N) bias of a joint layer, whose rows are texts and then picture.

    Cells read each text by its share and other regions' cells by :func:`isolation`; the text of a region reads itself
    and its region, the prompt itself and the picture.
    """
    columns = call.columns
    assert columns is not None
    batch, rows = len(masks), call.query.shape[2]
    bias = torch.zeros(batch, 1, rows, rows, device=call.query.device)
    bias[:, :, columns, columns] = isolation(masks, strength)
    texts: list[tuple[slice, Tensor, Tensor | None]] = [(composition.base, parts.prompt, None)]
    texts += [(r.columns, parts.regions[:, i], masks[:, i]) for i, r in enumerate(composition.regions)]
    text_rows = bias[:, :, : columns.start, : columns.start]
    text_rows.fill_(UNREAD)
    for where, part, mask in texts:
        text_rows[:, :, where, where] = 0
        bias[:, :, columns, where] = _log(part.flatten(1))[:, None, :, None]  # (B, 1, N, 1)
        if mask is not None:
            bias[:, :, where, columns] = _log(mask.flatten(1))[:, None, None, :]  # (B, 1, 1, N)
    return bias


def _log(part: Tensor) -> Tensor:
    return torch.where(part > 1e-6, part.clamp_min(1e-6).log(), UNREAD)
