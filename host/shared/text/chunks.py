"""Where the tokens of a prompt stand on the positions of a CLIP text encoder, which reads a fixed number at once.

A longer prompt is read in several chunks, whose encodings stand one behind the other. Where the prompt is cut follows
ComfyUI (``SDTokenizer.tokenize_with_weights``), so that both hosts give the same conditioning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ....core.backbone import TextTooLongError, TokenizedText
from ....core.messages import shown
from .prompt_syntax import Part, Reference
from .token_table import Piece, pieces_of

UNCUT = 8
"""Parts of a prompt (what stands between embeddings and weights) that are shorter than this are not cut in two."""
MAX_CHUNKS = 100


@dataclass(frozen=True)
class Chunk:
    """One pass of an encoder: ``ids`` with start, end and padding, and ``pieces`` behind start."""

    ids: tuple[int, ...]
    pieces: tuple[Piece, ...]

    def weights(self) -> list[float]:
        """The prompt's weight of each position; 1 for start, end and padding."""
        own = [1.0, *(piece.weight for piece in self.pieces)]
        return own + [1.0] * (len(self.ids) - len(own))

    def beginning(self, length: int) -> Chunk:
        """Its first positions, ``length`` 1 or more: all that a causal encoder reads for them."""
        return Chunk(self.ids[:length], self.pieces[: length - 1])


@dataclass(frozen=True)
class Layout:
    """A text laid out on the positions of an encoder, chunk after chunk (at least one)."""

    chunks: tuple[Chunk, ...]

    def tokenized(self) -> TokenizedText:
        """Which word stands where. Positions run on: the second chunk begins at the length of the first."""
        length = len(self.chunks[0].ids)
        tokens = tuple(
            piece.token(number * length + index)
            for number, chunk in enumerate(self.chunks)
            for index, piece in enumerate(chunk.pieces, 1)
        )
        return TokenizedText(tokens, start=0, end=len(self.chunks[0].pieces) + 1, length=length * len(self.chunks))

    def beginning(self, length: int) -> Layout:
        """Its first positions, ``length`` 1 or more; where they reach into a second chunk, all of the chunks.

        Raises :class:`~....core.backbone.TextTooLongError` for a length that the text does not have.
        """
        whole = len(self.chunks[0].ids)
        if length > whole * len(self.chunks):
            raise TextTooLongError(f"{length} positions were asked for of a text that has {whole * len(self.chunks)}")
        if length > whole:
            return Layout(self.chunks[: -(-length // whole)])
        return Layout((self.chunks[0].beginning(length),))


def lay_out(parts: Sequence[Part], tokenizer: Any, sizes: Mapping[str, int]) -> Layout:
    """Ids of a text for one encoder: in each chunk start, pieces, end, padding.

    Args:
        parts: of the prompt, references by the names of placeholders.
        tokenizer: the encoder's.
        sizes: how many positions each placeholder takes.

    Raises :class:`~....core.backbone.TextTooLongError` for a text of more than :data:`MAX_CHUNKS` chunks, and as
    :func:`~.token_table.pieces_of` does.
    """
    length = int(tokenizer.model_max_length)
    groups = (list(pieces) for _, pieces in groupby(pieces_of(parts, tokenizer, sizes), lambda piece: piece.part))
    chunks = tuple(_chunk(pieces, tokenizer) for pieces in _in_chunks(groups, length - 2))
    if len(chunks) > MAX_CHUNKS:
        begins = " ".join(part.name if isinstance(part, Reference) else part.text for part in parts[:20])
        raise TextTooLongError(
            f"the text has {sum(len(chunk.pieces) for chunk in chunks)} tokens, which take more than the {MAX_CHUNKS} "
            f"chunks of {length - 2} that are read: shorten it (it begins {shown(begins[:60])})"
        )
    return Layout(chunks)


def check_alike(chunks: Sequence[tuple[str, int]]) -> None:
    """Raise :class:`~....core.backbone.TextTooLongError` unless all texts need the same number of chunks.

    Args:
        chunks: each text and how many chunks it needs.
    """
    counts = sorted({count for _, count in chunks})
    if len(counts) > 1:
        longest = next(text for text, count in chunks if count == counts[-1])
        raise TextTooLongError(
            f"{shown(longest)} takes {counts[-1]} passes of the text encoder and another text {counts[0]}, and they "
            "are to be encoded together: shorten it"
        )


def _in_chunks(groups: Iterator[list[Piece]], room: int) -> Iterator[list[Piece]]:
    """The pieces of each chunk, at most ``room``; one chunk for no pieces."""
    chunk: list[Piece] = []
    for group in groups:
        long = len(group) >= UNCUT
        while len(chunk) + len(group) > room:
            cut = room - len(chunk) if long else 0
            yield chunk + group[:cut]
            chunk, group = [], group[cut:]
        chunk = chunk + group
    yield chunk


def _chunk(pieces: Sequence[Piece], tokenizer: Any) -> Chunk:
    ids = [tokenizer.bos_token_id, *(piece.id for piece in pieces), tokenizer.eos_token_id]
    padding = [tokenizer.pad_token_id] * (int(tokenizer.model_max_length) - len(ids))
    return Chunk((*ids, *padding), tuple(pieces))
