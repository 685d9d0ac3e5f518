"""How a transformer's text encoders read a prompt: which word stands in which row of the conditioning.

ComfyUI's own tokenizer reads it, in the template of the model. The template is what the empty prompt has as well: its
tokens before and after the text are no words of the text. Models that strip it have fewer rows than tokens.
"""

import codecs
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ....core.backbone import Conditioning, Placeholders, TextTooLongError, Token, TokenizedText
from ....core.encoding_checks import check_encoded
from ....core.messages import listed
from ...shared.errors import UnsupportedModelError
from ...shared.families import FAMILIES, ModelFamily, supported_unets
from ...shared.token_table import entry_bytes, word_spans
from .sites import record_of

SENTENCEPIECE = ("t5xxl", "gemma2_2b")
"""Encoders whose vocabulary writes a space as ``▁``; the others write bytes."""

_SPACE = "\u2581"
_CUT = "\ufffd"  # what is decoded of a character that further tokens complete


def encode(clip: Any, family: ModelFamily, texts: Sequence[str], placeholders: Placeholders) -> Conditioning:
    """Context (B, L, D) and what else the text encoders give, as CLIP Text Encode gives it.

    Raises ``ValueError`` for no texts, :class:`~...core.backbone.TextTooLongError` for texts of unequal length.
    """
    if isinstance(texts, str) or not texts:
        raise ValueError("encode_text takes a list of at least one text")
    _refuse(placeholders, family)
    found = [clip.encode_from_tokens(clip.tokenize(text), return_dict=True) for text in texts]
    lengths = [one["cond"].shape[1] for one in found]
    if len(set(lengths)) > 1:
        raise TextTooLongError(f"the texts have {listed(lengths)} tokens, and only texts of one length go together")
    context = torch.cat([one["cond"] for one in found])
    check_encoded(context, texts, placeholders)
    extras = {
        name: torch.cat([one[name] for one in found]) if first.ndim > 1 else first
        for name, first in found[0].items()
        if name != "cond" and isinstance(first, Tensor)
    }
    return Conditioning(context, extras)


def tokenized(clip: Any, family: ModelFamily, text: str, placeholders: Placeholders) -> TokenizedText:
    """Which word stands in which row."""
    _refuse(placeholders, family)
    read, empty = clip.tokenize(text), clip.tokenize("")
    tokens: list[Token] = []
    start, end = 0, 0
    for reading, key in enumerate(key for key in record_of(family).tokens if key in read):
        ids, blank = _ids(read[key]), _ids(empty[key])
        padding = _reader(clip, key).pad_token
        first, last = _own(_unpadded(ids, padding), _unpadded(blank, padding))
        stripped = _stripped(clip, len(blank)) if record_of(family).strips_template else 0
        pieces = list(_pieces(clip, key, ids[first:last]))
        after = 1 + max((token.word for token in tokens), default=-1)
        offset = start + first - stripped
        tokens += [
            replace(token, position=offset + token.position, word=after + token.word, reading=reading)
            for token in _words(pieces)
        ]
        start, end = start + len(ids) - stripped, offset + last - first
    return TokenizedText(tuple(tokens), None, min(end, max(start - 1, 0)), start)


def _refuse(placeholders: Placeholders, family: ModelFamily) -> None:
    if placeholders:
        raise UnsupportedModelError(
            f"learnt tokens cannot stand in the prompts of {family.title} yet; {supported_unets()}"
        )


def _ids(chunks: Sequence[Sequence[tuple[Any, ...]]]) -> list[int]:
    """Token ids in order; -1 for vectors and pictures that stand in their place."""
    return [int(entry[0]) if isinstance(entry[0], int) else -1 for chunk in chunks for entry in chunk]


def _unpadded(ids: Sequence[int], padding: int | None) -> Sequence[int]:
    """Without the padding behind."""
    return ids[: next((at for at in range(len(ids), 0, -1) if ids[at - 1] != padding), 0)]


def _reader(clip: Any, key: str) -> Any:
    """The tokenizer of one text encoder."""
    return getattr(clip.tokenizer, key, None) or getattr(clip.tokenizer, f"clip_{key}")


def _own(ids: Sequence[int], blank: Sequence[int]) -> tuple[int, int]:
    """Where a text's own tokens begin and end, given those of the empty one."""
    most = min(len(ids), len(blank))
    first = next((at for at in range(most) if ids[at] != blank[at]), most)
    behind = next((at for at in range(most - first) if ids[-1 - at] != blank[-1 - at]), most - first)
    return first, len(ids) - behind


def _stripped(clip: Any, tokens: int) -> int:
    """Rows that the text model leaves out of the conditioning: those of its template before the text."""
    with torch.no_grad():
        return tokens - clip.encode_from_tokens(clip.tokenize("")).shape[1]


def _pieces(clip: Any, key: str, ids: Sequence[int]) -> Iterator[str]:
    """What each token stands for, spaces included; a character cut in two belongs to its last token."""
    stock = _reader(clip, key)
    names = getattr(stock.tokenizer, "convert_ids_to_tokens", None)
    if names is None:
        before = ""
        for at in range(1, len(ids) + 1):
            now = stock.tokenizer.decode(list(ids[:at])).rstrip(_CUT)
            yield now[len(before) :]
            before = now
        return
    if key in SENTENCEPIECE:
        yield from (str(name).replace(_SPACE, " ") for name in names(list(ids)))
        return
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for name in names(list(ids)):
        yield decoder.decode(entry_bytes(name)) + (" " if name.endswith("</w>") else "")


def _words(pieces: Sequence[str]) -> Iterator[Token]:
    """A token for each written word that a piece is part of, positions counted from 0."""
    letters: list[tuple[str, int]] = []
    for at, piece in enumerate(pieces):
        letters += [(letter, at) for letter in unicodedata.normalize("NFC", piece).lower()]
    for word, (first, last) in enumerate(word_spans("".join(letter for letter, _ in letters))):
        inside: dict[int, str] = {}
        for letter, at in letters[first:last]:
            inside[at] = inside.get(at, "") + letter
        yield from (Token(part, at, word) for at, part in inside.items())


def text_record(clip_family: str) -> ModelFamily | None:
    """The family of a transformer's text encoders; None for those of UNets."""
    family = FAMILIES[clip_family]
    return family if family.transformer is not None and family.transformer.text_model else None
