"""The phrases of a prompt as people write them: found, weighted, and laid out in lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ....core.attention.words import only_reading, words_of
from ....core.backbone import Backbone, Placeholders
from ....core.messages import counted, listed, shown
from ....core.prompts.chunks import Chunks, chunk_words, is_closing, line_breaks
from ....core.prompts.spans import word_spans
from ...adapters import encode_one
from ...shared.families import FAMILIES
from ...shared.text.prompt_syntax import read_marked


@dataclass(frozen=True)
class Phrase:
    """A phrase of a prompt.

    Attributes:
        text: as written, without punctuation at its ends.
        span: first and last character of ``text`` in the prompt, the last not included.
        words: its words as the encoder reads them.
        positions: of its tokens in the encoding.
        boundary: p of its beginning.
    """

    text: str
    span: tuple[int, int]
    words: tuple[str, ...]
    positions: tuple[int, ...]
    boundary: float


def phrases_of(backbone: Backbone, text: str, share: float, placeholders: Placeholders) -> tuple[list[Phrase], Chunks]:
    """The phrases of a prompt, and what was measured.

    Raises ``ValueError`` for a prompt that has weights already: the encoder's rows would be those of the weights; and
    for an encoder whose rows are not those of words.
    """
    if any(part.weight != 1 for part in read_marked(text, placeholders)[2]):
        raise ValueError(
            f"the prompt {shown(text[:60])} has weights in brackets; write it without, and give the weights of its "
            "phrases in weights"
        )
    read = words_of(only_reading(backbone.tokenize(text, placeholders)))
    words = [word for word, _ in read]
    context = backbone.encode_text([text], placeholders).context[0].float().cpu()  # (L, D)
    if any(place >= len(context) for _, places in read for place in places):
        raise ValueError(f"the text encoder of {FAMILIES[backbone.family].title} gives no row for each word, only ids")
    rows = torch.stack([context[list(places)].mean(0) for _, places in read]) if read else torch.empty(0, 1)
    chunks, spans = chunk_words(words, rows, share), word_spans(text, words)
    found = []
    for chunk in chunks.found:
        inside = range(chunk.first, chunk.last + 1)
        kept = [number for number in inside if not is_closing(words[number])]
        if not kept:
            continue
        span = (_opening(text, spans[kept[0]][0]), spans[kept[-1]][1])
        places = tuple(place for number in kept for place in read[number][1])
        found.append(Phrase(text[slice(*span)], span, tuple(words[number] for number in kept), places, chunk.boundary))
    return found, chunks


def _opening(text: str, start: int) -> int:
    """Where an escaped character begins."""
    return start - 1 if start and text[start - 1] == "\\" else start


def weights_of(phrases: Sequence[Phrase], lines: Sequence[str]) -> list[float]:
    """The weight of each phrase; 1 for those that no line names.

    Args:
        phrases: of the prompt.
        lines: ``cat: 1.3`` for the phrases with the word or words, ``2: 1.3`` for the second phrase.

    Raises ``ValueError`` for another line, one that names no phrase, and a weight outside 0..10.
    """
    weights = [1.0] * len(phrases)
    for line in lines:
        name, _, number = line.rpartition(":")
        try:
            weight = float(number)
        except ValueError as error:
            raise ValueError(
                f"weights has the line {shown(line)}; expected a phrase and its weight: cat: 1.3"
            ) from error
        if not 0 <= weight <= 10:
            raise ValueError(f"the weight of {shown(name)} must lie in 0..10, got {number.strip()}")
        chosen = _named(phrases, name.strip())
        if not chosen:
            there = listed(f"{count} {phrase.text}" for count, phrase in enumerate(phrases, 1))
            raise ValueError(
                f"{shown(name.strip())} is in no phrase of the prompt; its phrases are: "
                f"{there or 'none, since the prompt is empty'}"
            )
        for index in chosen:
            weights[index] = weight
    return weights


def _named(phrases: Sequence[Phrase], name: str) -> list[int]:
    """Numbers of the phrases that a name means: of that number, or with those words one behind another."""
    if name.isdigit() and 1 <= int(name) <= len(phrases):
        return [int(name) - 1]
    wanted = "".join(name.lower().split())
    return [
        index
        for index, phrase in enumerate(phrases)
        if wanted and any(_begins(phrase.words[start:], wanted) for start in range(len(phrase.words)))
    ]


def _begins(words: Sequence[str], wanted: str) -> bool:
    """Whether the first words spell something."""
    spelt = ""
    for word in words:
        spelt += word
        if spelt == wanted:
            return True
        if not wanted.startswith(spelt):
            return False
    return False


def lines_of_phrases(text: str, phrases: Sequence[Phrase], weights: Sequence[float], room: int) -> list[str]:
    """The prompt with its weights in brackets, in lines of at most so many tokens each; at least one line."""
    ends = [*(phrase.span[0] for phrase in phrases), len(text)][1:]
    parts = []
    for index, (phrase, end, weight) in enumerate(zip(phrases, ends, weights, strict=True)):
        before = text[: phrase.span[0]] if index == 0 else ""
        own = phrase.text if weight == 1 else f"({phrase.text}:{weight:g})"
        parts.append(before + own + text[phrase.span[1] : end])
    broken = line_breaks([len(phrase.positions) for phrase in phrases], room)
    return ["".join(parts[index] for index in line).strip() for line in broken] or [text]


def rows_of(phrases: Sequence[Phrase], weights: Sequence[float], room: int) -> list[list[str]]:
    """A row for each phrase: number, text, span, tokens, change, weight, line."""
    broken = line_breaks([len(phrase.positions) for phrase in phrases], room)
    lines = {index: line for line, held in enumerate(broken, 1) for index in held}
    return [
        [
            str(index + 1),
            phrase.text,
            *(str(place) for place in phrase.span),
            str(len(phrase.positions)),
            f"{phrase.boundary:.4f}",
            f"{weights[index]:g}",
            str(lines[index]),
        ]
        for index, phrase in enumerate(phrases)
    ]


def encode_lines(clip: Any, lines: Sequence[str], placeholders: Mapping[str, Any]) -> Any:
    """CONDITIONING of each line encoded by itself, their rows one behind another; other facts are those of the first
    line, as with ConditioningConcat."""
    encoded = [encode_one(clip, line, placeholders) for line in lines]
    return [[torch.cat([entry[0] for entry in encoded], 1), dict(encoded[0][1])]]


def reads_in_chunks(backbone: Backbone) -> bool:
    """Whether the text encoders read 75 tokens at once, so that long prompts are cut."""
    return FAMILIES[backbone.family].transformer is None


def described(phrases: Sequence[Phrase], chunks: Chunks, weights: Sequence[float], lines: int) -> str:
    """What was found, for people."""
    found = f"{counted(len(phrases), 'phrase')}, {chunks.ratio:.1f} words each"
    said = [f"{found}; mean change from word to word {chunks.mean:.2f}."]
    for number, (phrase, weight) in enumerate(zip(phrases, weights, strict=True), 1):
        facts = [f"change at its beginning {phrase.boundary:.2f}", counted(len(phrase.positions), "token")]
        facts += [] if weight == 1 else [f"weight {weight:g}" if weight else "weight 0: muted"]
        said.append(f"{number}  {phrase.text}   ({', '.join(facts)})")
    if 0 in weights:
        said.append(
            "A muted phrase is encoded as if the prompt were empty there. PHRASES leaves it out: it has no map."
        )
    if lines > 1:
        said.append(f"The prompt takes {lines} lines, each of which is encoded by itself.")
    return "\n".join(said)
