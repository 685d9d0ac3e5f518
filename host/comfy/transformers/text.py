"""How a transformer's text encoders read a prompt: which word stands in which row of the conditioning.

ComfyUI's own tokenizer reads it, in the template of the model (:mod:`.reading`). The template is what the empty prompt
has as well: its tokens before and after the text are no words of the text. Models that strip it have fewer rows than
tokens.
"""

import codecs
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from ....core.backbone import Conditioning, Placeholders, Token, TokenizedText, UnequalTextsError
from ....core.encoding_checks import check_encoded
from ....core.messages import listed
from ...shared.families import FAMILIES, ModelFamily
from ...shared.text.token_table import entry_bytes, word_spans
from ..gradients import DifferentiableOut, differentiable_kernels, saving_copies, wants_gradients
from .reading import Mark, entry_ids, own_ids, read, reader_of
from .sites import record_of

SENTENCEPIECE = ("t5xxl", "gemma2_2b")
"""Encoders whose vocabulary writes a space as ``▁``; the others write bytes."""

_SPACE = "\u2581"
_CUT = "\ufffd"  # what is decoded of a character that further tokens complete


def encode(clip: Any, family: ModelFamily, texts: Sequence[str], placeholders: Placeholders) -> Conditioning:
    """Context (B, L, D) and what else the text encoders give, as CLIP Text Encode gives it.

    Gradients reach the placeholders' vectors. Raises ``ValueError`` for no texts and for vectors that do not fit,
    :class:`~....core.backbone.UnequalTextsError` for texts of unequal length, and for texts of different tokens of a
    model that reads those of one text for all pictures of a pass (Anima).
    """
    if isinstance(texts, str) or not texts:
        raise ValueError("encode_text takes a list of at least one text")
    readings = [read(clip, family, text, placeholders) for text in texts]
    with _differentiable():
        found = [clip.encode_from_tokens(reading.tokens, return_dict=True) for reading in readings]
    lengths = [one["cond"].shape[1] for one in found]
    if len(set(lengths)) > 1:
        raise UnequalTextsError(f"the texts have {listed(lengths)} tokens, and only texts of one length go together")
    context = torch.cat([one["cond"] for one in found])
    if not wants_gradients():  # a training looks at its loss
        check_encoded(context, texts, placeholders)
    extras = {
        name: torch.cat([one[name] for one in found]) if first.ndim > 1 else first
        for name, first in found[0].items()
        if name != "cond" and isinstance(first, Tensor)
    }
    shared = [name for name, extra in extras.items() if extra.ndim == 1]
    if any(not torch.equal(one[name], extras[name]) for one in found for name in shared):
        raise UnequalTextsError(f"{family.title} reads one text for all pictures of a pass, and got {len(set(texts))}")
    return Conditioning(context, extras)


def tokenized(clip: Any, family: ModelFamily, text: str, placeholders: Placeholders, stripped: int) -> TokenizedText:
    """Which word stands in which row; ``stripped``: what :func:`template_rows` gives for this CLIP."""
    reading, empty = read(clip, family, text, placeholders), clip.tokenize("")
    tokens: list[Token] = []
    start, places = 0, []
    keys = [key for key in record_of(family).tokens if key in reading.ids and _has_rows(clip, key)]
    for number, key in enumerate(keys):
        ids, blank = reading.ids[key], entry_ids(empty[key])
        first, last = own_ids(clip, key, ids, blank)
        after = 1 + max((token.word for token in tokens), default=-1)
        offset = start + first - stripped
        tokens += [
            replace(token, position=offset + token.position, word=after + token.word, reading=number)
            for token in _tokens(clip, key, ids[first:last], reading.marks)
        ]
        rows = len(ids) - stripped
        places.append((start, min(offset + last - first, max(start + rows - 1, 0))))
        start += rows
    return TokenizedText(tuple(tokens), None, places[-1][1], start, tuple(places) if len(places) > 1 else ())


def _tokens(clip: Any, key: str, ids: Sequence[int], marks: Mapping[int, Mark]) -> Iterator[Token]:
    """The tokens of a text, positions counted from 0; vectors of an ``embedding:name`` are none, and neither is what
    stands between the chunks of a long text."""
    word, reader = 0, reader_of(clip, key)
    between = {reader.start_token, reader.end_token, reader.pad_token}
    own = [(at, one) for at, one in enumerate(ids) if one not in between]
    for kind, group in groupby(own, lambda one: "mark" if one[1] in marks else "vector" if one[1] < 0 else "text"):
        places, run = zip(*group, strict=True)
        if kind == "text":
            last = word - 1
            for token in _words(list(_pieces(clip, key, run))):
                yield replace(token, position=places[token.position], word=word + token.word)
                last = word + token.word
            word = last + 1
        elif kind == "mark":
            for place, one in zip(places, run, strict=True):
                name, row = marks[one]
                word += row == 0
                yield Token("" if row else name.lower(), place, word - 1, name)


def _has_rows(clip: Any, key: str) -> bool:
    """Whether tokens that a tokenizer gives become rows: SD3's gives those of all its encoders, loaded or not."""
    readers = ("clip_l", "clip_g") if key == "l" else (key,)
    return any(getattr(clip.cond_stage_model, name, clip) is not None for name in readers)  # Anima's T5 has no reader


def template_rows(clip: Any, family: ModelFamily) -> int:
    """Rows that the text model leaves out of the conditioning: those of its template before the text, the same for
    every text. Finding them takes a pass of the text model."""
    if not record_of(family).strips_template:
        return 0
    empty = clip.tokenize("")
    (key,) = [key for key in record_of(family).tokens if key in empty]
    with torch.no_grad():
        return len(entry_ids(empty[key])) - clip.encode_from_tokens(empty).shape[1]


def _pieces(clip: Any, key: str, ids: Sequence[int]) -> Iterator[str]:
    """What each token stands for, spaces included; a character cut in two belongs to its last token."""
    stock = reader_of(clip, key)
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


@contextmanager
def _differentiable() -> Iterator[None]:
    """Within the context gradients pass the text encoders, where they are on."""
    if not wants_gradients():
        yield
        return
    with differentiable_kernels(), saving_copies(), DifferentiableOut():
        yield
