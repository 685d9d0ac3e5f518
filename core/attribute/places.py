"""Heat maps of a picture that was denoised in pieces: tiles, or areas with a text of their own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..attention.maps import AttentionMaps
from ..attention.selection import Grid
from ..attention.words import find_word, occurrences, words_of
from ..backbone import Token, TokenizedText
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


@dataclass(frozen=True, eq=False)
class Piece:
    """A rectangle of a picture, what was captured in it, and the text it was denoised with."""

    place: Place
    maps: AttentionMaps
    text: TokenizedText


def word_heatmaps_of_pieces(
    pieces: Sequence[Piece], latent: Grid, words: Sequence[str], size: Grid, *, per_cell: bool = False
) -> Tensor:
    """:func:`word_heatmaps` of pieces, each laid where it belongs. A word lies in those whose text has it.

    Args:
        pieces: pieces of one picture, at least one; where they overlap their mean is taken.
        latent: (h, w) of the latent that the places are in.
        words: N words or placeholders.
        size: (H, W) of the picture.
        per_cell: see :func:`word_heatmaps`.

    Returns:
        (N, B, H, W); 0 where no piece with the word lies.

    Raises:
        ValueError: as :func:`word_heatmaps` does, and for a word that is in none of the texts.
    """
    if not pieces:
        raise ValueError("no attention was recorded for any piece of the picture")
    if not words:
        raise ValueError("give at least one word")
    having = [[index for index, word in enumerate(words) if occurrences(piece.text, word)] for piece in pieces]
    for index in sorted(set(range(len(words))).difference(*having)):
        find_word(_all_words(pieces), words[index])  # raises, and says which words there are
    total: Tensor | None = None
    count = torch.zeros(len(words), 1, *size)  # (N, 1, H, W)
    for piece, indices in zip(pieces, having, strict=True):
        if not indices:
            continue
        rows, columns = piece.place.scaled(latent, size)
        piece_size = (rows.stop - rows.start, columns.stop - columns.start)
        asked = [words[index] for index in indices]
        heat = word_heatmaps(piece.maps, piece.text, asked, piece_size, per_cell=per_cell)
        total = heat.new_zeros(len(words), heat.shape[1], *size) if total is None else total
        total[indices, :, rows, columns] += heat
        count[indices, :, rows, columns] += 1
    assert total is not None  # every word is in some piece
    return total / count.to(total.device).clamp_min(1)


def _all_words(pieces: Sequence[Piece]) -> TokenizedText:
    """The words of all pieces as one text."""
    names = (name for piece in pieces for name, _ in words_of(piece.text))
    return replace(pieces[0].text, tokens=tuple(Token(name, 0, number) for number, name in enumerate(names)))


def _span(start: int, length: int, scale: float, end: int) -> slice:
    first = min(round(start * scale), end - 1)
    return slice(first, max(first + 1, min(round((start + length) * scale), end)))
