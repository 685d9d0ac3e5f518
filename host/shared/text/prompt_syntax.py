"""ComfyUI's prompt syntax: weights in brackets, ``\\(`` for a plain bracket, and ``embedding:name``.

One reading for every node. The headless runner lays texts out by it. Inside ComfyUI the stock tokenizer does the
reading, and this one finds beforehand what it would spell out as letters or leave out: that is refused by name, in both
places alike. Behaviour is that of ComfyUI 0.28 and later.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ....core.messages import plain, shown

KEYWORD = "embedding:"
MAX_NESTED = 100
BRACKET_WEIGHT = 1.1

_HALF = re.compile("[\ud800-\udfff]")
_BRACKET = re.compile(r"\\[()]|[()]")
_ESCAPED = re.compile(r"\\([()])")
_ANY_KEYWORD = re.compile(KEYWORD, re.IGNORECASE)
_BARE_KEYWORD = re.compile(r"(?<!\w)embedding\s*\Z", re.IGNORECASE)
_MARK = "concept-atelier-{}"  # without white space, comma, colon or bracket: nothing of the syntax cuts it


@dataclass(frozen=True)
class Words:
    """Plain words, and the weight they are read with."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class Reference:
    """Vectors that are called by a name, and the weight they are read with."""

    name: str
    weight: float = 1.0


Part = Words | Reference


def read_syntax(text: str) -> list[Part]:
    """The parts of a prompt in order; a :class:`Reference` has the name that stands behind ``embedding:``.

    Raises ``ValueError`` for ``embedding:`` where ComfyUI would read it as letters (behind a comma or a quotation
    mark, in square brackets, in capitals) or as a word with a weight, for a missing name, for a weight that is not
    finite, for brackets nested deeper than :data:`MAX_NESTED`, and for halves of characters.
    """
    half = _HALF.search(text)
    if half is not None:
        raise ValueError(f"the prompt has half of a character, {shown(half[0])}, which no tokenizer reads; take it out")
    return [part for piece, weight in _weighted(text) for part in _parts(_ESCAPED.sub(r"\1", piece), weight)]


def plain_words(text: str) -> str:
    """The words that a prompt says, without weights and escapes. Raises as :func:`read_syntax` does."""
    parts = read_syntax(text)
    return " ".join(KEYWORD + part.name if isinstance(part, Reference) else part.text.strip() for part in parts)


def with_marks(text: str, names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """A text in which placeholders stand as ``embedding:mark``, apart from their neighbours; mark to placeholder."""
    marks = {name: _MARK.format(number) for number, name in enumerate(names)}
    parts = (f" {KEYWORD}{marks[part]} " if part in marks else part for part in split_at(text, marks))
    return "".join(parts), {mark: name for name, mark in marks.items()}


def read_marked(text: str, names: Iterable[str]) -> tuple[str, dict[str, str], list[Part]]:
    """A text with its placeholders marked and the marks, as :func:`with_marks` gives them, and its parts.

    Raises as :func:`read_syntax` does, with the placeholders as they were written.
    """
    marked, marks = with_marks(text, names)
    try:
        return marked, marks, read_syntax(marked)
    except ValueError as error:
        said = str(error)
        for mark, name in marks.items():
            said = said.replace(f" {KEYWORD}{mark} ", name)
        raise ValueError(said) from None


def named(parts: Iterable[Part], marks: Mapping[str, str]) -> list[Part]:
    """Parts whose references go by the name of their placeholder, or by ``embedding:name``."""
    return [
        Reference(marks.get(part.name, KEYWORD + part.name), part.weight) if isinstance(part, Reference) else part
        for part in parts
    ]


def split_at(text: str, names: Iterable[str]) -> list[str]:
    """The parts of a text, cut before and after each of the names, which are parts of their own."""
    longest_first = sorted(names, key=len, reverse=True)
    return re.split("(" + "|".join(re.escape(name) for name in longest_first) + ")", text) if longest_first else [text]


def check_unweighted(parts: Iterable[Part], word: str) -> None:
    """Raise ``ValueError`` for a weight where only a word's own vectors are wanted."""
    if any(part.weight != 1.0 for part in parts):
        raise ValueError(f"{shown(word)} has a weight, which means nothing here; take the brackets off")


def refuse_letters(text: str) -> None:
    """Raise ``ValueError`` for a text to be spelt out that has ``embedding:`` in it, naming what stands there."""
    found = _ANY_KEYWORD.search(text)
    if found is None:
        return
    before, here = text[: found.start()], text[found.start() :].split()[0]
    glued = before.split()[-1] if before and not before[-1].isspace() else ""
    raise ValueError(
        f"the prompt has {shown(here)}{f' right behind {shown(glued)}' if glued else ''}, where ComfyUI does not read "
        f"it: write {KEYWORD} in small letters, at the beginning or behind a space or an opening bracket, and put a "
        "space behind the name"
    )


def bare_name(written: str) -> str:
    """The name at the start of a text without spaces, up to a square or angle bracket or closing commas."""
    return re.split(r"[<\[]", written)[0].rstrip(",")


def missing_embedding(name: str) -> str:
    """What to say of an embedding that is not there: its name, and what may have been meant."""
    meant = re.match(r"[\w./\\-]*\w", name)
    if ":" in name:
        hint = f" (a weight needs brackets: (embedding:{plain(name.partition(':')[0])}:1.2))"
    else:
        hint = f" (if {shown(meant[0])} is meant, put a space behind it)" if meant and meant[0] != name else ""
    return f"no embedding named {shown(name)}{hint}"


def _weighted(text: str, weight: float = 1.0, depth: int = 0) -> Iterator[tuple[str, float]]:
    """Pieces of a text with their weights, the brackets that give them taken off; escapes stay."""
    if depth > MAX_NESTED:
        raise ValueError(f"the prompt nests brackets deeper than {MAX_NESTED}; write a weight as (word:1.5)")
    for group in _groups(text):
        if group.startswith("(") and group.endswith(")") and not group.endswith("\\)"):
            yield from _weighted(*_weight_of(group[1:-1], weight), depth + 1)
        else:
            yield group, weight


def _groups(text: str) -> Iterator[str]:
    """A text cut before and after every outermost pair of brackets; an unclosed bracket takes in all that follows."""
    depth = start = 0
    for found in _BRACKET.finditer(text):
        if found[0] == "(":
            if depth == 0 and found.start() > start:
                yield text[start : found.start()]
                start = found.start()
            depth += 1
        elif found[0] == ")":
            depth -= 1
            if depth == 0:
                yield text[start : found.end()]
                start = found.end()
    if start < len(text):
        yield text[start:]


def _weight_of(inner: str, weight: float) -> tuple[str, float]:
    """What stands inside a pair of brackets, and its weight: the number behind the last colon, else a little more."""
    text, _, number = inner.rpartition(":")
    value = _number(number) if text else None
    if value is None:
        return inner, weight * BRACKET_WEIGHT
    if not math.isfinite(value):
        raise ValueError(f"the prompt has the weight {shown(number)} in {shown(f'({inner})')}; give a number like 1.2")
    if _BARE_KEYWORD.search(text):
        raise ValueError(
            f"the prompt has {shown(f'({inner})')}, which ComfyUI reads as the word 'embedding' with a weight; for the "
            f"embedding write ({plain(inner)}:{BRACKET_WEIGHT:g})"
        )
    return text, value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _parts(piece: str, weight: float) -> Iterator[Part]:
    for text in re.split(rf"(?<=\s)(?={KEYWORD})", piece):
        if text.startswith(KEYWORD):
            name, text = _name_and_rest(text.removeprefix(KEYWORD))
            yield Reference(name, weight)
        refuse_letters(text)
        if text.strip():
            yield Words(text, weight)


def _name_and_rest(text: str) -> tuple[str, str]:
    """The name at the start of a text, and what is left of it."""
    first = next(iter(text.split()), "")
    name = bare_name(first)
    if not name or name.startswith(","):
        raise ValueError(f"the prompt says {shown(KEYWORD + first)} without a name right behind the colon")
    refuse_letters(name)
    return name, text.lstrip()[len(name) :]
