"""Written words in an encoded text."""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from ..backbone import TokenizedText
from ..messages import listed, shown


def words_of(text: TokenizedText) -> list[tuple[str, tuple[int, ...]]]:
    """Each written word in order (lower case, placeholders as they are) with all its token positions."""
    pieces: dict[int, str] = {}
    positions: dict[int, tuple[int, ...]] = {}
    for token in text.tokens:
        pieces[token.word] = pieces.get(token.word, "") + token.text
        positions[token.word] = (*positions.get(token.word, ()), token.position)
    return [(pieces[word], positions[word]) for word in pieces]


def only_reading(text: TokenizedText, reading: int = 0) -> TokenizedText:
    """A text with the tokens of one of its encoders alone."""
    return replace(text, tokens=tuple(token for token in text.tokens if token.reading == reading))


def spelling(text: TokenizedText) -> str:
    """What a text says, as :func:`find_word` looks it up: weights and the like, which the host reads, are gone."""
    return "".join(token.text for token in only_reading(text).tokens)


def count_words(text: TokenizedText) -> int:
    """How many words a text has; each once, however many encoders read it."""
    return len(words_of(only_reading(text)))


def find_word(text: TokenizedText, word: str) -> tuple[tuple[int, ...], ...]:
    """Token positions of every occurrence of a word.

    A word may be several written ones ("teddy bear", "cat-face"): white space and case do not matter, all sub-tokens
    belong to it. Placeholders are found by their whole name, ``<apple>``.

    Raises:
        ValueError: when the word is empty or not in the text, listing the words that are.
    """
    found = occurrences(text, word)
    if not found:
        words = words_of(text)
        there = listed(dict.fromkeys(name for name, _ in words)) or "none, it is empty"
        raise ValueError(f"{shown(word)} is not in the text; its words are: {there}")
    return found


def first_places(text: TokenizedText, word: str) -> tuple[int, ...]:
    """Token positions of a word's first occurrence, in the rows of every text encoder that knows it.

    Raises as :func:`find_word` does.
    """
    find_word(text, word)
    readings = dict.fromkeys(token.reading for token in text.tokens)
    found = [occurrences(only_reading(text, reading), word)[:1] for reading in readings]
    return tuple(position for runs in found for run in runs for position in run)


def in_every_reading(text: TokenizedText, positions: Sequence[int]) -> tuple[int, ...]:
    """Positions of the first reading, and those of the same words in the rows of every other text encoder."""
    first = words_of(only_reading(text))
    wanted = [
        (name, sum(other == name for other, _ in first[:number]))
        for number, (name, places) in enumerate(first)
        if set(places).intersection(positions)
    ]
    found = list(positions)
    for reading in sorted({token.reading for token in text.tokens} - {0}):
        there = words_of(only_reading(text, reading))
        for name, turn in wanted:
            runs = [places for other, places in there if other == name]
            found.extend(runs[turn] if turn < len(runs) else ())
    return tuple(found)


def places_in_order(text: TokenizedText, words: Sequence[str], before: int = 0) -> tuple[tuple[int, ...], ...]:
    """Token positions of words that stand in a text one behind another, in the rows of every text encoder that knows
    them: each is looked for behind the one before it, and behind the first ``before`` words of the text.

    Raises as :func:`find_word` does; a word that does not stand there in order has its first place.
    """
    found: list[list[int]] = [[] for _ in words]
    for reading in dict.fromkeys(token.reading for token in text.tokens):
        own = only_reading(text, reading)
        known = words_of(own)
        last = known[min(before, len(known)) - 1][1][-1] if before and known else -1
        for number, word in enumerate(words):
            runs = [run for run in occurrences(own, word) if run[0] > last]
            if runs:
                found[number] += runs[0]
                last = runs[0][-1]
    return tuple(tuple(places) or first_places(text, word) for places, word in zip(found, words, strict=True))


def occurrences(text: TokenizedText, word: str) -> tuple[tuple[int, ...], ...]:
    """As :func:`find_word`, and nothing for a word that is not in the text."""
    wanted = "".join(unicodedata.normalize("NFC", word).lower().split())
    if not wanted:
        raise ValueError("an empty word cannot be looked up; give a word of the text")
    words = words_of(text)
    return tuple(run for start in range(len(words)) if (run := _run_from(words[start:], wanted)))


def _run_from(words: list[tuple[str, tuple[int, ...]]], wanted: str) -> tuple[int, ...]:
    """Positions of the first words when they spell ``wanted``, else none."""
    rest = wanted
    positions: tuple[int, ...] = ()
    for name, here in words:
        if not rest.startswith(name):
            return ()
        rest, positions = rest.removeprefix(name), (*positions, *here)
        if not rest:
            return positions
    return ()
