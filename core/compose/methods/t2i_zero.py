"""Multi-Concept T2I-Zero: prompts of several concepts, corrected without training.

Tunanyan et al., "Multi-Concept T2I-Zero: Tweaking Only The Text Embeddings and Nothing Else", 2023, arXiv 2310.07419.
*Correction by Similarities* changes an encoded prompt. A causal text encoder lets later words absorb earlier ones, and
one concept's row can drown another's. The correction rebuilds the row of each concept from those dimensions of its
neighbours' rows in which they agree with it most. The paper states neither the threshold nor the window nor the
strength that it used; the defaults here are ours, and none of them was found to help the lab model (docs/results.md).

*Cross-Token Non-Maximum Suppression* changes cross-attention: of the words of several concepts, each cell of the
picture reads only the one that it attends to most. In joint layers of transformers the same shares of the one softmax
over text and picture are suppressed, which the paper does not try. Whether the paper scales a row back to the sum of
one afterwards is not known; here that is a setting.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...attention.probabilities import attend, column_shares
from ...attention.selection import Grid
from ...backbone import AttentionInputs
from ...settings import setting
from ..composer import Composer, ComposeSettings, Run, Share
from ..composition import Composition
from ..parts.places import smoothed


@dataclass(frozen=True)
class SimilaritySettings:
    """How to correct a prompt; each field's help is in its metadata.

    Raises ``ValueError`` for values outside their range.
    """

    strength: float = setting(0.25, "Share of each concept's row that is replaced, from 0 to 1; 0 changes nothing.")
    window: int = setting(2, "How many tokens to each side of a concept take part, 1 or more.")
    threshold: float = setting(
        0.99, "Share of the similarities, the smallest ones, that are left out, from 0 to below 1."
    )
    keep_length: bool = setting(True, "Scale each corrected row back to the length that it had.")

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must lie from 0 to 1, got {self.strength}")
        if self.window < 1:
            raise ValueError(f"window must be 1 or more, got {self.window}")
        if not 0 <= self.threshold < 1:
            raise ValueError(f"threshold must lie from 0 to below 1, got {self.threshold}")


def correct_by_similarities(
    context: Tensor,
    concepts: Sequence[int],
    settings: SimilaritySettings,
    widths: Sequence[int] = (),
    chunk: int | None = None,
    start: bool = True,
) -> Tensor:
    """Correction by Similarities: rows of concepts, rebuilt from what their neighbours share with them.

    For the row ``f_c`` of a concept at position c, with every row ``f_i`` of its chunk (elementwise products, maxima
    over all entries)::

        S_i  = f_c * f_i, and 0 where it is not above the threshold's quantile
        f_c' = (1 - strength) f_c + strength * sum over 0 < |i - c| <= window or i = c of  S_i / max(S) * f_i

    All rows are computed from the context as it was given, so their order does not matter.

    Args:
        context: (L, D), the encoded prompt.
        concepts: positions of the concepts' tokens; all tokens of all concepts.
        settings: how.
        widths: of the text encoders whose rows stand side by side in D, which are corrected apart, because their
            numbers differ in size; default one.
        chunk: length of the pieces that a long prompt was encoded in; the window does not reach beyond them. Default L.
        start: whether each chunk begins with a start token.

    Returns:
        (L, D), a new tensor; rows of other tokens are those given. The start token of a chunk takes part in the
        quantile and the maximum and in no sum.

    Raises ``ValueError`` for positions outside the context or at a start token, and widths that do not add up to D.
    """
    length, width = context.shape
    chunk = chunk or length
    wrong = [place for place in concepts if not 0 <= place < length or (start and place % chunk == 0)]
    if wrong:
        expected = f"concepts must stand between {int(start)} and {length - 1} and not at a start token"
        raise ValueError(f"{expected}, got {wrong}")
    if sum(widths or (width,)) != width:
        raise ValueError(f"widths must add up to the context's width {width}, got {list(widths)}")
    corrected = context.clone()
    for place in dict.fromkeys(concepts):
        first = place - place % chunk
        rows = context[first : first + chunk]
        parts = [_corrected(part, place - first, settings, start) for part in rows.split(list(widths or (width,)), 1)]
        corrected[place] = torch.cat(parts)
    return corrected


def _corrected(rows: Tensor, place: int, settings: SimilaritySettings, start: bool) -> Tensor:
    """The new row (d,) of the concept at a place of a chunk of rows (n, d)."""
    row = rows[place].double()
    products = row * rows.double()  # (n, d)
    kept = torch.where(products > torch.quantile(products.flatten(), settings.threshold), products, 0.0)  # (n, d)
    shares = kept / kept.amax().clamp_min(torch.finfo(kept.dtype).tiny)
    near = (torch.arange(len(rows), device=rows.device) - place).abs() <= settings.window
    near[0] &= not start  # the start token is no word
    gathered = (shares * rows)[near].sum(0)  # (d,)
    mixed = (1 - settings.strength) * row + settings.strength * gathered
    if settings.keep_length:
        mixed = mixed * (row.norm() / mixed.norm().clamp_min(torch.finfo(mixed.dtype).tiny))
    return mixed.to(rows.dtype)


@dataclass(frozen=True)
class SuppressionSettings(ComposeSettings):
    """How overlapping words are suppressed; each field's help is in its metadata."""

    strength: float = setting(1.0, "How far the words that are not strongest in a cell are suppressed, 0 to 1.")
    renormalise: bool = setting(False, "Scale the attention of a cell back to a sum of one.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must lie from 0 to 1, got {self.strength}")

    @property
    def cost(self) -> str:
        if not self.strength:
            return "nothing, since no word is suppressed"
        return "no more passes; a softmax that is written out in each layer that reads the text"


def suppress(attention: Tensor, words: Sequence[Sequence[int]], grid: Grid, settings: SuppressionSettings) -> Tensor:
    """Cross-Token Non-Maximum Suppression of attention maps.

    Args:
        attention: (B, heads, h*w, L), rows sum to one.
        words: token positions of each concept, two concepts or more.
        grid: (h, w).
        settings: how.

    Returns:
        As ``attention``. A concept keeps its attention in the cells where its map is the highest of all concepts: that
        of its strongest token, averaged over heads and smoothed over three cells. Other tokens keep theirs.
    """
    changed = attention * kept_shares(attention, words, grid, settings.strength)
    return changed / changed.sum(-1, keepdim=True) if settings.renormalise else changed


def kept_shares(attention: Tensor, words: Sequence[Sequence[int]], grid: Grid, strength: float) -> Tensor:
    """(B, 1, h*w, L): the share of its attention (B, heads, h*w, L) that each token keeps in each cell; see
    :func:`suppress`."""
    mean = attention.mean(1)  # (B, h*w, L)
    maps = torch.stack([mean[..., list(places)].amax(-1) for places in words], dim=1)  # (B, R, h*w)
    winner = smoothed(maps.unflatten(2, grid)).flatten(2).argmax(1)  # (B, h*w)
    owned, won = torch.zeros_like(mean, dtype=torch.bool), torch.zeros_like(mean, dtype=torch.bool)  # (B, h*w, L)
    for number, places in enumerate(words):
        owned[..., list(places)] = True
        won[..., list(places)] |= (winner == number)[..., None]  # a token of several concepts wins with any of them
    return (1 - strength * (owned & ~won).to(mean))[:, None]


def suppressed_jointly(
    inputs: AttentionInputs, words: Sequence[Sequence[int]], settings: SuppressionSettings
) -> Tensor:
    """The output (B, heads, N, d) of a joint layer in which cells read the words of several concepts as
    :func:`suppress` has it. The softmax stays that over all keys of the layer; rows of the text read as before.

    ``softmax(logits + log kept)`` is the renormalised form; times the sum of what is kept it is the other.
    """
    call, text = inputs.call, inputs.text
    assert call.columns is not None and text is not None
    own = [[text.start + place for place in places] for places in words]
    columns = sorted({place for places in own for place in places})
    cells = call.bias if call.bias is None or call.bias.shape[-2] == 1 else call.bias[..., call.columns, :]
    attention = column_shares(call.query[:, :, call.columns], call.key, call.scale, columns, cells)  # (B, heads, n, k)
    among = [[columns.index(place) for place in places] for places in own]
    kept, rows = kept_shares(attention, among, call.grid, settings.strength), call.query.shape[2]
    bias = torch.zeros(len(kept), 1, rows, call.key.shape[2], device=kept.device)
    bias[:, :, call.columns, columns] = kept.clamp_min(1e-12).log()  # (B, 1, n, k)
    output = attend(call.query, call.key, inputs.value, call.scale, bias if call.bias is None else bias + call.bias)
    if not settings.renormalise:
        left = 1 - ((1 - kept) * attention).sum(-1, keepdim=True)  # (B, heads, n, 1)
        output[:, :, call.columns] = output[:, :, call.columns] * left.to(output.dtype)
    return output


def _begin(composition: Composition, settings: SuppressionSettings, share: Share) -> Run:
    # A style belongs to every cell, so it neither takes cells from things nor loses any to them.
    regions = [composition.regions[number] for number in composition.things if composition.regions[number].words]

    def edit(inputs: AttentionInputs) -> Tensor | None:
        call = inputs.call
        if call.site.kind == "self" or not inputs.conditional:
            return None
        done = share(call.timestep)
        words = [region.words for region in regions if region.counts(done)]
        if len(words) < 2 or not settings.acts(done) or not settings.strength:
            return None
        if call.site.kind == "joint":
            return suppressed_jointly(inputs, words, settings)
        base = composition.base if composition.base.stop < composition.length else slice(None)
        key, value = call.key[:, :, base], inputs.value[:, :, base]
        attention = (call.query.float() * call.scale @ key.float().mT).softmax(-1)  # (B, heads, h*w, L)
        return suppress(attention, words, call.grid, settings).to(value.dtype) @ value

    return Run(edit)


METHOD = Composer(
    name="t2i_zero",
    title="Cross-Token Non-Maximum Suppression (T2I-Zero)",
    help="Of the words of several concepts, each cell reads only the one that it attends to most.",
    presets={"paper": SuppressionSettings(), "small": SuppressionSettings(strength=0.5)},
    begin=_begin,
    needs=("words",),
    least_named=2,
    costs="No more passes of the model, but slower attention layers.",
    note="It reads no regions: the prompt must name every concept.",
)
