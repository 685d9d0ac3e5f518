"""How ComfyUI reads a prompt in which learnt vectors stand.

ComfyUI's own tokenizer does the reading, so that weights, brackets, ``embedding:name`` and long prompts mean what they
mean in CLIP Text Encode. Each placeholder is handed to it as an ``embedding:`` of a name that only our copy of the
tokenizer knows, and the copy notes the order in which it met words and vectors.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ....core.backbone import Placeholders, Token, TokenizedText
from ....core.messages import shown
from ...shared.text.prompt_syntax import KEYWORD, bare_name, missing_embedding, read_marked, refuse_letters
from ...shared.text.token_table import check_letters, check_widths, read_pieces
from ..parts import encoder_names, text_widths, word_table


@dataclass(frozen=True)
class Vectors:
    """Vectors that stand in a prompt: what people call them, at how many positions, and how wide they are."""

    name: str
    rows: int
    width: int


@dataclass(eq=False)
class _RecordingTokenizer:
    """A copy of one encoder's tokenizer, that knows our vectors and notes what it reads."""

    stock: Any
    ours: Mapping[str, tuple[str, Tensor]]
    met: list[str | Vectors] = field(default_factory=list)

    def tokenizer(self) -> Any:
        recording = copy.copy(self.stock)
        recording.tokenizer = self._read
        recording._try_get_embedding = self._find
        if recording.embedding_directory is None:  # else it would not look for embeddings at all
            recording.embedding_directory = []
        return recording

    def _read(self, text: str) -> Any:
        refuse_letters(text)  # versions differ in what they take for an embedding
        self.met.append(text)
        return self.stock.tokenizer(text)

    def _find(self, written: str) -> tuple[Any, ...]:
        """What the stock method answers, vectors (n, d) of ours first where it was asked for them.

        What stands behind the vectors in its answer differs by version (the text that is left, since 0.28 the cleaned
        name before it): it goes back as it came.
        """
        name = next(iter(written.split()), "")
        if not name:
            raise FileNotFoundError("the prompt says 'embedding:' without a name behind it")
        if name in self.ours:
            called, found = self.ours[name]
            _, *others = self._without_folders()._try_get_embedding(written)
        else:
            called = KEYWORD + bare_name(name)
            found, *others = self.stock._try_get_embedding(written)
            if found is None:
                raise FileNotFoundError(f"{missing_embedding(name.strip(','))} in the embeddings folders")
        self.met.append(Vectors(called, 1 if found.ndim == 1 else len(found), found.shape[-1]))
        return found, *others

    def _without_folders(self) -> Any:
        """A copy of the stock tokenizer that finds no embedding, and reads no folder to know it."""
        without = copy.copy(self.stock)
        without.embedding_directory = []
        return without


@dataclass(frozen=True, eq=False)  # tokens may be vectors
class Reading:
    """A prompt as ComfyUI's tokenizer gives it, and what the first encoder's tokenizer met, in order."""

    tokens: Mapping[str, list[list[tuple[Any, float]]]]
    met: tuple[str | Vectors, ...]

    @property
    def chunks(self) -> int:
        """Number of encoder passes; each reads 77 positions."""
        return len(next(iter(self.tokens.values())))


def read(clip: Any, text: str, placeholders: Placeholders) -> Reading:
    """Tokenize a prompt, placeholders standing as their vectors.

    Raises ``FileNotFoundError`` for ``embedding:name`` without such a file. (CLIP Text Encode leaves it out with a line
    in the log; the picture then lacks it silently.) Raises ``ValueError`` for syntax that would be read as letters, see
    :func:`~...shared.text.prompt_syntax.read_syntax`, for a file that fits none of the text encoders, which it leaves
    out too, for vectors that do not fit the text encoders, and for a text that takes too long, see
    :func:`~...shared.text.token_table.check_letters`.
    """
    check_letters([text])
    check_widths(text_widths(clip), placeholders)
    marked, marks, _ = read_marked(text, placeholders)
    reader, recorders = copy.copy(clip.tokenizer), {}
    for encoder in encoder_names(clip):
        ours = {mark: (name, placeholders[name][encoder]) for mark, name in marks.items()}
        recorders[encoder] = _RecordingTokenizer(getattr(clip.tokenizer, encoder), ours)
        setattr(reader, encoder, recorders[encoder].tokenizer())
    recording = copy.copy(clip)
    recording.tokenizer = reader
    tokens = recording.tokenize(marked)
    met = {encoder: tuple(one.met) for encoder, one in recorders.items()}
    _check_fit(met, {encoder: word_table(clip, encoder).weight.shape[1] for encoder in met})
    return Reading(tokens, next(iter(met.values())))


def _check_fit(met: Mapping[str, tuple[str | Vectors, ...]], widths: Mapping[str, int]) -> None:
    """Raise ``ValueError`` for vectors that no text encoder takes."""
    unfit = [
        {(one.name, one.width) for one in entries if isinstance(one, Vectors) and one.width != widths[encoder]}
        for encoder, entries in met.items()
    ]
    for name, width in sorted(set.intersection(*unfit)):
        wanted = " and ".join(f"{encoder} reads {wide}" for encoder, wide in widths.items())
        raise ValueError(f"{name} was learnt on another kind of model: its vectors are {width} wide, this {wanted}")


def tokenized(clip: Any, text: str, placeholders: Placeholders) -> TokenizedText:
    """Which word stands where. Positions of long prompts run on: the second chunk begins at 77.

    Raises as :func:`read` does, and ``ValueError`` where the tokenizer is none of CLIP's.
    """
    reading, encoder = read(clip, text, placeholders), encoder_names(clip)[0]
    stock = getattr(clip.tokenizer, encoder)
    chunks = reading.tokens[encoder.removeprefix("clip_")]
    tokens = tuple(_placed(chunks, list(_pieces(reading, stock.tokenizer)), stock.end_token))
    ids = [entry[0] for chunk in chunks for entry in chunk]
    end = next(i for i, token in enumerate(ids) if isinstance(token, int) and token == stock.end_token)
    return TokenizedText(tokens, start=0, end=end, length=len(ids))


def _pieces(reading: Reading, tokenizer: Any) -> Iterator[tuple[int | None, Token]]:
    """Id (None for a vector) and token, without its position, of everything that was read, in order."""
    word = 0
    for entry in reading.met:
        if isinstance(entry, Vectors):
            for row in range(entry.rows):
                yield None, Token("" if row else entry.name.lower(), -1, word, entry.name)
            word += 1
            continue
        pieces = list(read_pieces(entry, tokenizer))
        for piece in pieces:
            yield piece.id, Token(piece.text, -1, word + piece.word)
        word += pieces[-1].word + 1 if pieces else 0


def _placed(chunks: list[list[tuple[Any, float]]], pieces: list[tuple[int | None, Token]], end: int) -> Iterator[Token]:
    """The tokens at the positions where their ids or vectors stand."""
    position, waiting = 0, iter(pieces)
    coming = next(waiting, None)
    for chunk in chunks:
        for index, (entry, *_) in enumerate(chunk):
            if index == 0 or coming is None:
                continue
            if entry == coming[0] if isinstance(entry, int) else coming[0] is None:
                yield Token(coming[1].text, position + index, coming[1].word, coming[1].placeholder)
                coming = next(waiting, None)
            elif isinstance(entry, int) and entry == end:
                break
            else:
                raise ValueError(
                    f"the tokenizer cuts {shown(coming[1].text)} in its own way, so that its words cannot be found"
                )
        position += len(chunk)
    if coming is not None:
        raise ValueError(f"{shown(coming[1].text)} did not fit into the prompt")
