"""How a model reads texts: tokens, encoded prompts, words and placeholders of learnt tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from torch import Tensor

TokenVectors = Mapping[str, Tensor]
"""One learnt token: text encoder name (``clip_l``, ``clip_g``, ``clip_h``) to vectors (n, d) of its input table."""

Placeholders = Mapping[str, TokenVectors]
"""What stands where: ``"<apple>"`` to its vectors. A placeholder takes as many positions as it has vectors."""


@dataclass(frozen=True)
class Token:
    """One position of an encoded text.

    Attributes:
        text: the piece of text it stands for, lower case, ``""`` for start, end and padding.
        position: index along the conditioning's length L.
        word: number of the written word (split at white space and punctuation) it is part of, -1 for specials.
        placeholder: the placeholder it belongs to, or None.
        reading: number of the text encoder that reads it, where rows of several lie one behind another.
    """

    text: str
    position: int
    word: int
    placeholder: str | None = None
    reading: int = 0


@dataclass(frozen=True)
class TokenizedText:
    """A text as the model reads it.

    Language models read a prompt inside a template. Positions count the rows of the conditioning: a template that the
    model strips has none, one that it keeps has some, but its tokens are not the text's own. Where several encoders'
    rows lie one behind another (SD3), each word is there once for each.

    Attributes:
        tokens: the text's own tokens, in order, without start, end, template and padding.
        start: position of the start token, or None where the model has none.
        end: position of the *first* end-of-text token (SD1.x pads with more of them), or of what follows the text.
        length: number of positions L, template and padding included.
        readings: (first position, position of what follows the text) of each block of rows, where the blocks of
            several text encoders lie one behind another (SD3); else empty.
    """

    tokens: tuple[Token, ...]
    start: int | None
    end: int
    length: int
    readings: tuple[tuple[int, int], ...] = ()

    @property
    def spans(self) -> tuple[range, ...]:
        """The positions of each block of rows; one block for most models."""
        starts = [start for start, _ in self.readings] or [0]
        return tuple(range(*ends) for ends in pairwise([*starts, self.length]))

    @property
    def ends(self) -> tuple[int, ...]:
        """``end`` of each block of rows."""
        return tuple(end for _, end in self.readings) or (self.end,)


@dataclass(frozen=True, eq=False)
class Conditioning:
    """The encoded prompt, as the denoiser reads it.

    Attributes:
        context: (B, L, D), read by cross-attention, or put before the picture's rows.
        extras: further tensors by the host's name, first dimension B (pooled text, sizes, masks over the text); or of
            one dimension, where a model reads one text for all pictures of a pass (the token ids that Anima reads
            beside the encoded text).
    """

    context: Tensor
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def one_text(self) -> bool:
        """Whether all pictures of a pass read the same text, so that texts cannot be joined to a batch."""
        return any(extra.ndim == 1 for extra in self.extras.values())

    def row(self, index: int) -> "Conditioning":
        """One of its rows (1, L, D); gradients pass."""
        extras = {name: extra if extra.ndim == 1 else extra[[index]] for name, extra in self.extras.items()}
        return Conditioning(self.context[[index]], extras)

    def of_rows(self, rows: int) -> "Conditioning":
        """One row, repeated for ``rows`` pictures. Raises ``RuntimeError`` for another number of rows than one or
        ``rows``."""

        def repeated(tensor: Tensor) -> Tensor:
            return tensor.expand(rows, *tensor.shape[1:])

        extras = {name: extra if extra.ndim == 1 else repeated(extra) for name, extra in self.extras.items()}
        return Conditioning(repeated(self.context), extras)


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The words that a model's text encoders know as one token.

    Attributes:
        words: V of them, lower case, unique. Endings of longer words are among them: tokenizers make no
            difference.
        vectors: text encoder name to their rows (V, d) of its input table (copies).
    """

    words: tuple[str, ...]
    vectors: Mapping[str, Tensor]


class TextTooLongError(ValueError):
    """A text has more tokens than the model reads, or than the texts have that are to be encoded with it."""


class UnequalTextsError(TextTooLongError):
    """Texts differ in length, and each can be encoded, and denoised with, on its own."""
