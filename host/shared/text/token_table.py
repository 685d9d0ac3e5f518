"""How a text is cut into words, tokens and placeholders, before any model sees it.

CLIP's tokenizers cut a text into runs of letters, single digits and runs of other signs before byte-pair encoding,
so each of those can be encoded on its own with the same ids. Doing it here keeps the written words apart, and lets
placeholders such as ``<apple>`` stand between them without ever reaching the tokenizer.
"""

import codecs
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from torch import Tensor

from ....core.backbone import Placeholders, TextTooLongError, Token, Vocabulary
from ....core.messages import listed
from .prompt_syntax import Part, Reference

MAX_LETTERS = 100_000

_WORD = re.compile(r"'(?:s|t|re|ve|m|ll|d)|[^\W\d_]+|\d|(?:[^\s\w]|_)+")


@dataclass(frozen=True)
class Piece:
    """One position of a text: a token id, or the ``index``-th vector of a placeholder.

    Attributes:
        text: what it stands for, lower case; the pieces of a word join to the word.
        word: number of its word.
        id: token id; 0 stands in where a placeholder's vector will be.
        placeholder: the placeholder's name, or None.
        index: which of the placeholder's vectors.
        weight: of the prompt, 1 where it says none.
        part: number of the part of the prompt that it comes from.
    """

    text: str
    word: int
    id: int
    placeholder: str | None = None
    index: int = 0
    weight: float = 1.0
    part: int = 0

    def token(self, position: int) -> Token:
        """What the maths knows of it."""
        return Token(self.text, position, self.word, self.placeholder)


def placeholder_sizes(placeholders: Placeholders) -> dict[str, int]:
    """How many positions each placeholder takes. Raises ``ValueError`` where its encoders disagree."""
    sizes: dict[str, int] = {}
    for name, vectors in placeholders.items():
        counts = {_rows(name, tensor) for tensor in vectors.values()}
        if len(counts) != 1 or 0 in counts:
            raise ValueError(f"{name} needs the same number of vectors, at least one, for each text encoder")
        sizes[name] = counts.pop()
    return sizes


def check_widths(widths: Mapping[str, int], placeholders: Placeholders) -> None:
    """Raise ``ValueError`` unless every placeholder has vectors for each text encoder, of its table's width."""
    for name, width in widths.items():
        for key, vectors in placeholders.items():
            if name not in vectors:
                raise ValueError(f"{key} has vectors for {listed(vectors) or 'nothing'}; this model needs {name}")
            if vectors[name].shape[-1] != width:
                raise ValueError(
                    f"{key} was learnt for another model: its {name} vectors are {vectors[name].shape[-1]} wide, "
                    f"this model's are {width}"
                )


def _rows(name: str, tensor: Tensor) -> int:
    if tensor.ndim != 2:
        raise ValueError(f"vectors of {name} must have shape (n, width), got {tuple(tensor.shape)}")
    return tensor.shape[0]


def pieces_of(parts: Sequence[Part], tokenizer: Any, sizes: Mapping[str, int]) -> Iterator[Piece]:
    """The pieces of a prompt in order; words are numbered from 0 across its parts.

    Args:
        parts: of the prompt, references by the names of placeholders.
        tokenizer: the encoder's.
        sizes: how many positions each placeholder takes.

    Raises :class:`~....core.backbone.TextTooLongError` for a text of more than :data:`MAX_LETTERS` letters.
    """
    check_letters(part.text for part in parts if not isinstance(part, Reference))
    word = 0
    for number, part in enumerate(parts):
        if isinstance(part, Reference):
            for index in range(sizes[part.name]):
                yield Piece("" if index else part.name.lower(), word, 0, part.name, index, part.weight, number)
            word += 1
            continue
        for piece in read_pieces(part.text, tokenizer, word):
            yield replace(piece, weight=part.weight, part=number)
            word = piece.word + 1


def check_letters(texts: Iterable[str]) -> None:
    """Raise :class:`~....core.backbone.TextTooLongError` unless texts, read as one, have few enough letters.

    Cutting a megabyte into tokens takes half a minute.
    """
    letters = sum(len(sign) for text in texts for sign in text.split())
    if letters > MAX_LETTERS:
        raise TextTooLongError(f"the text has {letters} letters, and at most {MAX_LETTERS} are read: shorten it")


def read_pieces(text: str, tokenizer: Any, first: int = 0) -> Iterator[Piece]:
    """The pieces of plain words in order; words are numbered from ``first``."""
    for word, written in enumerate(written_words(text), first):
        for name, piece in _encode_word(written, tokenizer):
            yield Piece(piece, word, tokenizer.convert_tokens_to_ids(name))


def whole_words(tokenizer: Any) -> dict[str, int]:
    """The words of three letters or more that are one token, by their ids, in the order of the ids.

    All ways to mark them are read: ``cat</w>`` (CLIP), ``\u2581cat`` (T5, Llama) and ``\u0120cat`` (Qwen).
    """
    found: dict[str, int] = {}
    for entry, number in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]):
        word = entry.removesuffix("</w>").removeprefix("\u2581").removeprefix("\u0120")
        if word != entry and len(word) > 2 and word.isalpha() and word.isascii() and word == word.lower():
            found.setdefault(word, number)
    return found


def joint_vocabulary(encoders: Mapping[str, tuple[Any, Tensor]]) -> Vocabulary:
    """The words that every encoder, given as its tokenizer and its input table, knows as one token."""
    ids = {name: whole_words(tokenizer) for name, (tokenizer, _) in encoders.items()}
    first, *others = ids.values()
    words = tuple(word for word in first if all(word in other for other in others))
    rows = {name: [of[word] for word in words] for name, of in ids.items()}
    return Vocabulary(words, {name: table.detach()[rows[name]].float() for name, (_, table) in encoders.items()})


def written_words(text: str) -> list[str]:
    """Lower-case words of a text, split at white space, punctuation and digits."""
    return _WORD.findall(unicodedata.normalize("NFC", text).lower())


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where the words of :func:`written_words` begin and end in a text that is lower-case already."""
    return [found.span() for found in _WORD.finditer(text)]


def _encode_word(word: str, tokenizer: Any) -> list[tuple[str, str]]:
    """(vocabulary entry, piece of text) of each token of a word; a character cut in two belongs to its last token."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    return [(name, decoder.decode(entry_bytes(name))) for name in tokenizer.tokenize(word)]


def entry_bytes(entry: str) -> bytes:
    """The bytes that an entry of a byte-level vocabulary stands for."""
    table = _byte_of_letter()
    return bytes(table[letter] for letter in entry.removesuffix("</w>"))


@lru_cache(maxsize=1)
def _byte_of_letter() -> dict[str, int]:
    """Byte-level BPE writes each byte as one printable letter: printable bytes as themselves, others from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(hidden)}
