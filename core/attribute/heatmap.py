"""Where each word of a text landed in a picture (DAAM, Tang et al. 2023, arXiv 2210.04885)."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from ..attention.maps import AttentionMaps
from ..attention.resize import Mode
from ..attention.selection import Grid
from ..attention.stretch import stretched
from ..attention.words import find_word
from ..backbone import TokenizedText
from ..messages import shown

Normalise = Literal["relative", "absolute"]


def word_heatmaps(
    maps: AttentionMaps,
    text: TokenizedText,
    words: Sequence[str],
    size: Grid | None = None,
    *,
    per_cell: bool = False,
    weights: Mapping[Grid, float] | None = None,
    mode: Mode = "bicubic",
) -> Tensor:
    """Heat maps of words: the mean attention over all tokens of all occurrences (section 2.2).

    Args:
        maps: attention recorded over a sampling run.
        text: the text that was sampled.
        words: N words or placeholders, see :func:`find_word`.
        size: (h, w) of the maps; default the finest recorded grid.
        per_cell: divide by the sum over the text's own tokens, cell by cell, which leaves out the start and end
            tokens that take most of the attention; needs all positions recorded.
        weights: grid to weight, see :meth:`AttentionMaps.combined_cross`.
        mode: how grids are resized.

    Returns:
        (N, B, h, w) in 0..1: shares of attention, not stretched (see :func:`normalise`).

    Raises:
        ValueError: for a word that is not in the text, a token that was not recorded, or no words.
    """
    if not words:
        raise ValueError("give at least one word")
    places = [list(dict.fromkeys(at for run in find_word(text, word) for at in run)) for word in words]
    every = list(dict.fromkeys(token.position for token in text.tokens)) if per_cell else []
    read = list(dict.fromkeys(at for place in (*places, every) for at in place))
    attention = maps.combined_cross(size, weights, mode, read)  # (B, L, h, w)

    def of(positions: Sequence[int]) -> Tensor:
        return attention[:, [read.index(position) for position in positions]]

    heat = torch.stack([of(place).mean(1) for place in places])  # (N, B, h, w)
    if not per_cell:
        return heat
    own = of(every).sum(1)
    return heat / own.clamp_min(torch.finfo(own.dtype).tiny)


def normalise(heat: Tensor, how: Normalise = "relative") -> Tensor:
    """Maps (..., h, w) for showing.

    ``relative`` stretches each map to 0..1 (a constant map to 0), which also stretches the noise of a word that
    landed nowhere; ``absolute`` leaves shares of attention as they are.
    """
    if how == "absolute":
        return heat
    if how != "relative":
        raise ValueError(f"heat maps are normalised 'relative' or 'absolute', got {shown(how)}")
    return stretched(heat)
