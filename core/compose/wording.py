"""Where a prompt says concepts, and the prompt with one concept in place of all."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..attention.words import in_every_reading, occurrences, only_reading, spelling, words_of
from ..backbone import Backbone, Placeholders, TokenizedText

ARTICLES = frozenset({"a", "an", "the", "of", "and", ","})
"""Words that do not distinguish a concept from another."""


@dataclass(frozen=True)
class Named:
    """Where a prompt says a concept.

    Attributes:
        words: positions of its tokens, none where the prompt does not name it.
        subject: those of its last word there, which mostly is the thing itself.
        singly: where the prompt does not contain its text as a whole: each word of it that the prompt does contain,
            with the number of that word in the prompt, from 1.
    """

    words: tuple[int, ...] = ()
    subject: tuple[int, ...] = ()
    singly: tuple[tuple[str, int], ...] = ()


def named_in(
    backbone: Backbone, prompt: TokenizedText, texts: Sequence[str], placeholders: Placeholders | None = None
) -> list[Named]:
    """Where a prompt says each of several concepts.

    Texts that the prompt contains as a whole are found first, the longest before others. Of a text that it does not
    contain, the words are looked up one by one, without articles: the rarest of them says which of several occurrences
    is meant, and every other word has the nearest one. Occurrences that belong to another concept come last.

    Args:
        backbone: gives the tokenizer.
        prompt: its tokens.
        texts: of the concepts.
        placeholders: learnt tokens that they name.
    """
    every, prompt = prompt, only_reading(prompt)

    def spelt(text: str) -> str:
        return spelling(backbone.tokenize(text, placeholders))

    whole = [spelt(text) for text in texts]
    found: dict[int, Named] = {}
    taken: set[int] = set()
    for number in sorted(range(len(texts)), key=lambda number: -len(whole[number])):
        runs = occurrences(prompt, whole[number]) if whole[number] else ()
        if runs:
            words = (_free(runs, taken) or runs[-1:])[0]
            last = next(places for _, places in words_of(prompt) if words[-1] in places)
            found[number] = Named(words, tuple(place for place in last if place in words))
            taken.update(words)
    for number, text in enumerate(texts):
        if number not in found:
            found[number] = _by_words(prompt, [spelt(word) for word in text.split()], taken)
            taken.update(found[number].words)
    return [
        replace(one, words=in_every_reading(every, one.words), subject=in_every_reading(every, one.subject))
        for one in (found[number] for number in range(len(texts)))
    ]


def _by_words(prompt: TokenizedText, names: Sequence[str], taken: set[int]) -> Named:
    """The words of a concept that the prompt contains one by one; see :func:`named_in`."""
    there = [(name, occurrences(prompt, name)) for name in names if name and name not in ARTICLES]
    there = [(name, runs) for name, runs in there if runs]
    if not there:
        return Named()
    # Of equally rare words the last one, which mostly is the thing itself.
    _, rarest = min(reversed(there), key=lambda entry: len(entry[1]))
    middle = (_free(rarest, taken) or rarest[-1:])[0][0]
    chosen = [min(_free(runs, taken) or runs, key=lambda run: abs(run[0] - middle)) for _, runs in there]
    numbers = {place: number for number, (_, places) in enumerate(words_of(prompt), 1) for place in places}
    singly = tuple((name, numbers[run[0]]) for (name, _), run in zip(there, chosen, strict=True))
    return Named(tuple(sorted({place for run in chosen for place in run})), chosen[-1], singly)


def _free(runs: Sequence[tuple[int, ...]], taken: set[int]) -> list[tuple[int, ...]]:
    """The occurrences that belong to no other concept."""
    return [run for run in runs if not taken.intersection(run)]


def own_words(backbone: Backbone, text: str, placeholders: Placeholders | None, start: int) -> tuple[int, ...]:
    """Where the words of a text, without articles, lie in a context that it begins at ``start``."""
    words = words_of(only_reading(backbone.tokenize(text, placeholders)))
    return tuple(start + place for name, places in words if name not in ARTICLES for place in places)


def branch_text(prompt: str, texts: Sequence[str], chosen: str, styles: Sequence[str] = ()) -> str:
    """The prompt in which one concept takes the place of all: ``chosen`` replaces each of the texts where they are
    whole words, in any case of letters and with any white space between words. A prompt that contains none of them
    becomes ``chosen``, and the styles behind it."""
    replaced, count = _replaced(prompt, texts, chosen)
    return replaced if count else ", ".join([chosen, *styles])


def contains(prompt: str, text: str) -> bool:
    """Whether a prompt contains a text as whole words, in any case of letters."""
    return _replaced(prompt, [text], text)[1] > 0


def _replaced(prompt: str, texts: Sequence[str], chosen: str) -> tuple[str, int]:
    longest_first = sorted({text.strip() for text in texts}, key=len, reverse=True)
    any_of = "|".join(r"\s+".join(re.escape(part) for part in text.split()) for text in longest_first)
    return re.subn(rf"(?<!\w)(?:{any_of})(?!\w)", lambda _: chosen, prompt, flags=re.IGNORECASE)
