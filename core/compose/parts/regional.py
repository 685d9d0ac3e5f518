"""Attention in regions: each cell of the picture reads the text of its region, and regions do not read each other.

Cross-attention mixes the outputs of several texts by masks. Joint attention of transformers has one softmax, whose
logits get a bias; the texts of regions do not read each other there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...attention.probabilities import attend
from ...backbone import AttentionCall, AttentionInputs, EditedOutput
from ..composition import Composition, Region, whole_picture
from .adapters import Changes, added, added_behind, concerns, queries, under

UNREAD = -1e4
"""The bias of keys that are not read. It is finite: a row whose keys are all unread has no NaN."""


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


def mix_texts(inputs: AttentionInputs, composition: Composition, parts: Shares) -> EditedOutput:
    """The output of a cross-attention layer in which each cell reads its share of every text.

    ``sum over texts t of  share_t * softmax(Q_t K_t^T) V_t``, with the queries, keys and values of the text's own LoRA;
    so is the projection behind it.
    """
    call, name = inputs.call, inputs.call.site.name
    nothing: Changes = {}
    texts = [(composition.base, parts.prompt, nothing)]
    texts += [(r.columns, parts.regions[:, index], r.adapter) for index, r in enumerate(composition.regions)]
    mixed, behind = torch.zeros_like(call.query), None
    for columns, part, adapter in texts:
        if bool(part.any()):
            part = part.flatten(1)[:, :, None].to(mixed.dtype)  # (B or 1, N, 1)
            rows = composition.conditioning.context[:, columns]  # (1, l, D)
            key, value = (
                seen[:, :, columns] + added(rows, adapter[place], seen) if place in adapter else seen[:, :, columns]
                for seen, place in ((call.key, (name, "key")), (inputs.value, (name, "value")))
            )
            heads = attend(queries(inputs, adapter), key, value, call.scale)
            mixed = mixed + part[:, None] * heads
            if (name, "out") in adapter:
                more = part * added_behind(heads, adapter[name, "out"])
                behind = more if behind is None else behind + more
    return EditedOutput(mixed, behind)


def mix_adapted(
    inputs: AttentionInputs, regions: Sequence[Region], parts: Tensor, bias: Tensor | None = None
) -> EditedOutput | None:
    """The output of a layer in which each cell of a region has what the model under the region's LoRA computes from the
    same rows; None where no LoRA changes the layer.

    Args:
        inputs: of the layer.
        regions: R of them.
        parts: (B or 1, R, h, w), how much each counts in each cell.
        bias: on the logits (B or 1, 1, N, M).
    """
    call = inputs.call
    acting = [number for number, one in enumerate(regions) if concerns(one.adapter, call.site.name)]
    acting = [number for number in acting if bool(parts[:, number].any())]
    if not acting:
        return None
    plain = attend(call.query, call.key, inputs.value, call.scale, bias)
    mixed, behind = plain, None
    for number in acting:
        own = under(inputs, regions[number].adapter, bias)
        part = parts[:, number].flatten(1)[:, :, None].to(plain.dtype)  # (B or 1, N, 1)
        mixed = mixed + part[:, None] * (own.heads - plain)
        if own.behind is not None:
            more = part * own.behind
            behind = more if behind is None else behind + more
    return EditedOutput(mixed, behind)


def read_apart(
    inputs: AttentionInputs,
    regions: Sequence[Region],
    masks: Tensor,
    strength: float,
    parts: Tensor,
    counts: Sequence[float] = (),
) -> Tensor | EditedOutput | None:
    """The output of a self-attention layer whose cells in one region do not read those of another, and compute with the
    LoRA of their region; None where neither changes anything.

    Args:
        inputs: of the layer.
        regions: R of them.
        masks: (B or 1, R, h, w); where the layer has several rows for each picture, they follow one another in rounds.
        strength: 1 reads nothing of other regions, 0 changes nothing.
        parts: as ``masks``, how much each region's LoRA counts.
        counts: as in :func:`isolation`.
    """
    call, bias = inputs.call, None
    if strength and (not counts or sum(count > 0 for count in counts) > 1):
        bias = _rounds(isolation(masks, strength, counts), call)  # (B or 1, 1, N, N)
    changed = mix_adapted(inputs, regions, _rounds(parts, call), bias)
    if changed is not None or bias is None:
        return changed
    return attend(call.query, call.key, inputs.value, call.scale, bias)


def _rounds(given: Tensor, call: AttentionCall) -> Tensor:
    """One row for each of a layer's, of one for each picture."""
    rounds = len(call.query) // len(given)
    return given.repeat(rounds, *[1] * (given.ndim - 1)) if len(given) > 1 else given


def isolation(masks: Tensor, strength: float, counts: Sequence[float] = ()) -> Tensor:
    """(B, 1, N, N) bias between cells: ``log(1 - strength * alien)``, where a pair is alien so far as it lies in two
    regions and shares none. Regions of the whole picture, such as a style's, do not count: all cells share them.

    Args:
        masks: (B, R, h, w) in 0..1.
        strength: 0 to 1.
        counts: how much each of the R regions counts, of which no more than 1 matters; default 1.
    """
    inside = (present(masks, counts) * ~whole_picture(masks)[..., None, None]).flatten(2)  # (B, R, N)
    anywhere = inside.amax(1)  # (B, N)
    shared = torch.einsum("brn,brm->bnm", inside, inside).clamp(max=1)
    alien = (anywhere[:, :, None] * anywhere[:, None, :] - shared).clamp(0, 1)
    return _log(1 - strength * alien)[:, None]


def present(masks: Tensor, counts: Sequence[float]) -> Tensor:
    """Masks (B, R, h, w) by how much each of the R regions counts, at most 1; no counts leave them as they are."""
    if not counts:
        return masks
    return masks * torch.tensor(counts, device=masks.device, dtype=masks.dtype).clamp(max=1).view(1, -1, 1, 1)


def joint_bias(
    inputs: AttentionInputs,
    composition: Composition,
    parts: Shares,
    masks: Tensor,
    strength: float,
    counts: Sequence[float] = (),
) -> Tensor:
    """(B or 1, 1, N, N) bias of a joint layer, whose rows are texts and then picture.

    Cells read each text by its share and other regions' cells by :func:`isolation`; the text of a region reads itself
    and its region so far as that counts (``counts``, as in :func:`isolation`), the prompt itself and the picture. Rows
    that pad the text belong to the prompt.
    """
    call, columns = inputs.call, inputs.call.columns
    assert columns is not None and inputs.text is not None
    batch, rows, there = len(masks), call.query.shape[2], present(masks, counts)
    bias = torch.zeros(batch, 1, rows, rows, device=call.query.device)
    if strength:
        bias[:, :, columns, columns] = isolation(masks, strength, counts)
    texts = rows_of_texts(composition, columns.start, inputs.text.start)
    bias[:, :, : columns.start, : columns.start] = apart(texts, columns.start).to(bias)
    for number, where in enumerate(texts):
        part = parts.prompt if number == 0 else parts.regions[:, number - 1]
        bias[:, :, columns, where] = _log(part.flatten(1))[:, None, :, None]  # (B, 1, N, 1)
        if number:
            mask = there[:, number - 1].flatten(1)
            bias[:, :, where, columns] = _log(mask)[:, None, None, :]  # (B, 1, 1, N)
    return bias


def rows_of_texts(composition: Composition, count: int, start: int) -> list[Tensor]:
    """Of the prompt and of each region's text the rows, of ``count`` rows of text in which the composition's begin at
    ``start``; rows that are no text's pad, and belong to the prompt."""
    owner = torch.zeros(count, dtype=torch.long)
    for number, region in enumerate(composition.regions, 1):
        owner[start + region.columns.start : start + region.columns.stop] = number
    return [(owner == number).nonzero().flatten() for number in range(len(composition.regions) + 1)]


def apart(texts: Sequence[Tensor], count: int) -> Tensor:
    """(count, count) bias by which the rows of each text read that text alone."""
    bias = torch.full((count, count), UNREAD)
    for where in texts:
        bias[where[:, None], where] = 0
    return bias


def read_alone(query: Tensor, key: Tensor, value: Tensor, scale: float, composition: Composition, start: int) -> Tensor:
    """The output (B, heads, T, d) of a layer that mixes the rows of the text before the picture joins them: the texts
    of a composition, which begin at row ``start``, do not read each other."""
    count = query.shape[2]
    bias = apart(rows_of_texts(composition, count, start), count)
    return attend(query, key, value, scale, bias.to(query.device))


def _log(part: Tensor) -> Tensor:
    return torch.where(part > 1e-6, part.clamp_min(1e-6).log(), UNREAD)
