"""Heat maps of a picture that was denoised in pieces: tiles, or areas with a text of their own."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..attention.maps import AttentionMaps
from ..attention.selection import Grid
from ..backbone import TokenizedText
from .heatmap import word_heatmaps


@dataclass(frozen=True)
class Place:
    """A rectangle of a latent, in latent cells."""

    top: int
    left: int
    height: int
    width: int

    def scaled(self, latent: Grid, picture: Grid) -> tuple[slice, slice]:
        """Its rows and columns in a picture (H, W) of the latent (h, w); at least one pixel each."""
        rows = _span(self.top, self.height, picture[0] / latent[0], picture[0])
        columns = _span(self.left, self.width, picture[1] / latent[1], picture[1])
        return rows, columns


def whole(latent: Grid) -> Place:
    """All of a latent (h, w)."""
    return Place(0, 0, *latent)


def find_place(piece: Tensor, latent: Tensor) -> Place | None:
    """Where ``piece`` (C, h, w) was cut out of ``latent`` (C, H, W), to the bit; None if it was not.

    Latents on their way are noisy, so that no two places are alike.
    """
    height, width = piece.shape[-2:]
    if height > latent.shape[-2] or width > latent.shape[-1] or len(piece) != len(latent):
        return None
    corners = latent[0, : latent.shape[-2] - height + 1, : latent.shape[-1] - width + 1]
    for top, left in (corners == piece[0, 0, 0]).nonzero().tolist():
        if torch.equal(latent[:, top : top + height, left : left + width], piece):
            return Place(top, left, height, width)
    return None


def word_heatmaps_of_places(
    parts: Sequence[tuple[Place, AttentionMaps]],
    latent: Grid,
    text: TokenizedText,
    words: Sequence[str],
    size: Grid,
    *,
    per_cell: bool = False,
) -> Tensor:
    """:func:`word_heatmaps` of pieces, each laid where it belongs.

    Args:
        parts: pieces of one picture, at least one; where they overlap their mean is taken.
        latent: (h, w) of the latent that the places are in.
        text: the text that was sampled.
        words: N words or placeholders.
        size: (H, W) of the picture.
        per_cell: see :func:`word_heatmaps`.

    Returns:
        (N, B, H, W); 0 where no piece lies.

    Raises:
        ValueError: as :func:`word_heatmaps` does.
    """
    total: Tensor | None = None
    count = torch.zeros(size)
    for place, maps in parts:
        rows, columns = place.scaled(latent, size)
        piece_size = (rows.stop - rows.start, columns.stop - columns.start)
        heat = word_heatmaps(maps, text, words, piece_size, per_cell=per_cell)
        total = heat.new_zeros(*heat.shape[:2], *size) if total is None else total
        total[..., rows, columns] += heat
        count[rows, columns] += 1
    if total is None:
        raise ValueError("no attention was recorded for any piece of the picture")
    return total / count.to(total.device).clamp_min(1)


def _span(start: int, length: int, scale: float, end: int) -> slice:
    first = min(round(start * scale), end - 1)
    return slice(first, max(first + 1, min(round((start + length) * scale), end)))
