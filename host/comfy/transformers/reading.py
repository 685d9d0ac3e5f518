"""A prompt as ComfyUI's tokenizers of a transformer give it, with learnt vectors where placeholders stand.

A placeholder is handed to a copy of each tokenizer as one letter that nothing else uses; the copy cuts the text there,
and gives an id of its own for each vector. So the template around the text stays as it is, to the last line break.
(ComfyUI's own reading of ``embedding:name`` joins what stands behind it by single spaces, the template included.)
"""

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ....core.backbone import Placeholders
from ....core.messages import shown
from ...shared.families import ModelFamily
from ...shared.text.prompt_syntax import check_unweighted, read_syntax, split_at
from ...shared.text.token_table import check_widths, placeholder_sizes
from ..parts import encoder_names, table_row, word_table
from .sites import record_of

FIRST_MARK = 1 << 24
"""Above every vocabulary: ids of vectors count from here."""
LETTERS = 0xE000
"""The first of the letters that stand for placeholders, from Unicode's private area."""

Mark = tuple[str, int]
"""A placeholder, and which of its vectors."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A prompt as it is tokenized.

    Attributes:
        tokens: by encoder, what ``clip.encode_from_tokens`` takes.
        ids: by encoder, the ids in order; -1 for vectors and pictures that are none of ours.
        marks: which of those ids stand for our vectors.
    """

    tokens: Mapping[str, list[list[tuple[Any, ...]]]]
    ids: Mapping[str, list[int]]
    marks: Mapping[int, Mark]


def read(clip: Any, family: ModelFamily, text: str, placeholders: Placeholders) -> Reading:
    """Tokenize a prompt. Raises ``ValueError`` for vectors that do not fit the text encoders."""
    if not placeholders:
        tokens = clip.tokenize(text)
        return Reading(tokens, {key: entry_ids(chunks) for key, chunks in tokens.items()}, {})
    check_widths({name: word_table(clip, name).weight.shape[1] for name in encoder_names(clip)}, placeholders)
    letters = {name: chr(LETTERS + number) for number, name in enumerate(placeholders)}
    marked = "".join(letters.get(part, part) for part in split_at(text, letters))
    marked = re.sub(f" (?=[{LETTER_RANGE}])", "", marked)  # a token of a language model has the space in itself
    marks, ids = _numbered(placeholders)
    tokens = _tokenized(clip, marked, {letters[name]: numbers for name, numbers in ids.items()})
    found = {key: entry_ids(chunks) for key, chunks in tokens.items()}
    unknown = dict(record_of(family).unknown)
    given = {
        key: _with_vectors(clip, key, chunks, marks, placeholders, unknown.get(key)) for key, chunks in tokens.items()
    }
    return Reading(given, found, marks)


LETTER_RANGE = f"{chr(LETTERS)}-{chr(LETTERS + 0x18FF)}"


def word_vectors(clip: Any, family: ModelFamily, word: str) -> dict[str, Tensor]:
    """Rows (n, d) float32 of a word's tokens in each encoder's table, as they are behind another word.

    Raises ``ValueError`` for a word without tokens, and for one with a weight.
    """
    import comfy.model_management as management

    management.load_models_gpu([clip.patcher])
    check_unweighted(read_syntax(word), word)
    whole, before = clip.tokenize(f"a {word}"), clip.tokenize("a")
    vectors = {}
    for name in encoder_names(clip):
        key = _key_of(whole, name)
        first, last = own_ids(clip, key, entry_ids(whole[key]), entry_ids(before[key]))
        entries = [entry[0] for chunk in whole[key] for entry in chunk][first:last]
        if not entries:
            raise ValueError(f"{shown(word)} has no tokens; give a word")
        vectors[name] = torch.stack([table_row(clip, name, entry) for entry in entries])
    return vectors


def entry_ids(chunks: Sequence[Sequence[tuple[Any, ...]]]) -> list[int]:
    """Token ids in order; -1 for vectors and pictures that stand in their place."""
    return [int(entry[0]) if isinstance(entry[0], int) else -1 for chunk in chunks for entry in chunk]


def own_ids(clip: Any, key: str, ids: Sequence[int], blank: Sequence[int]) -> tuple[int, int]:
    """Where a text's own tokens begin and end, given those of a shorter one that begins and ends alike."""
    padding = reader_of(clip, key).pad_token
    ids, blank = _unpadded(ids, padding), _unpadded(blank, padding)
    most = min(len(ids), len(blank))
    first = next((at for at in range(most) if ids[at] != blank[at]), most)
    behind = next((at for at in range(most - first) if ids[-1 - at] != blank[-1 - at]), most - first)
    return first, len(ids) - behind


def reader_of(clip: Any, key: str) -> Any:
    """The tokenizer of one text encoder."""
    return getattr(clip.tokenizer, _attribute(clip.tokenizer, key))


class _CuttingTokenizer:
    """A copy of one encoder's tokenizer, which cuts texts at our letters."""

    def __init__(self, stock: Any, ids: Mapping[str, Sequence[int]]) -> None:
        self._stock, self._ids = stock, ids

    def tokenizer(self) -> Any:
        cutting = copy.copy(self._stock)
        cutting.tokenizer = self._read
        return cutting

    def _read(self, text: str) -> Any:
        parts = re.split(f"([{LETTER_RANGE}])", text)
        if len(parts) == 1:
            return self._stock.tokenizer(text)
        ids = [one for part in parts if part for one in self._ids.get(part) or self._plain(part)]
        around = [0] * self._stock.tokens_start, [0] * bool(self._stock.tokenizer_adds_end_token)
        return {"input_ids": [*around[0], *ids, *around[1]]}

    def _plain(self, text: str) -> list[int]:
        found = list(self._stock.tokenizer(text)["input_ids"])
        return found[self._stock.tokens_start : len(found) - bool(self._stock.tokenizer_adds_end_token)]


def _tokenized(clip: Any, text: str, ids: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """What ``clip.tokenize`` gives, ids of our vectors where our letters stand."""
    reader, cutting = copy.copy(clip.tokenizer), copy.copy(clip)
    for key in clip.tokenize(""):
        name = _attribute(clip.tokenizer, key)
        setattr(reader, name, _CuttingTokenizer(getattr(clip.tokenizer, name), ids).tokenizer())
    cutting.tokenizer = reader
    return dict(cutting.tokenize(text))


def _numbered(placeholders: Placeholders) -> tuple[dict[int, Mark], dict[str, list[int]]]:
    marks: dict[int, Mark] = {}
    for name, count in placeholder_sizes(placeholders).items():
        marks |= {FIRST_MARK + len(marks) + row: (name, row) for row in range(count)}
    return marks, {name: [one for one, mark in marks.items() if mark[0] == name] for name in placeholders}


def _with_vectors(
    clip: Any,
    key: str,
    chunks: list[list[Any]],
    marks: Mapping[int, Mark],
    placeholders: Placeholders,
    unknown: int | None,
) -> list[list[tuple[Any, ...]]]:
    """Chunks of one encoder's tokens with vectors in the places of their marks; ``unknown`` instead, where the model
    reads numbers."""

    def mark_of(entry: tuple[Any, ...]) -> Mark | None:
        return marks.get(entry[0]) if isinstance(entry[0], int) else None

    if unknown is not None:
        return [[entry if mark_of(entry) is None else (unknown, *entry[1:]) for entry in chunk] for chunk in chunks]
    names = encoder_names(clip)
    encoder = key if key in names else f"clip_{key}"
    if encoder not in names:  # not loaded, so that nothing reads its tokens
        return chunks

    def changed(entry: tuple[Any, ...]) -> tuple[Any, ...]:
        mark = mark_of(entry)
        return entry if mark is None else (placeholders[mark[0]][encoder][mark[1]], *entry[1:])

    return [[changed(entry) for entry in chunk] for chunk in chunks]


def _key_of(tokens: Mapping[str, Any], encoder: str) -> str:
    """The key by which the tokens of an encoder are handed over: its name, CLIP's without ``clip_``."""
    return encoder if encoder in tokens else encoder.removeprefix("clip_")


def _attribute(tokenizer: Any, key: str) -> str:
    return key if hasattr(tokenizer, key) else f"clip_{key}"


def _unpadded(ids: Sequence[int], padding: int | None) -> Sequence[int]:
    """Without the padding behind."""
    return ids[: next((at for at in range(len(ids), 0, -1) if ids[at - 1] != padding), 0)]
