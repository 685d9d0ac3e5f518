"""Where a text's own tokens stand inside a sentence, in the rows of each text encoder."""

from collections.abc import Callable, Sequence

from ...attention.words import only_reading, words_of
from ...backbone import TokenizedText
from ...messages import shown

Read = Callable[[str], TokenizedText]
_Words = Sequence[tuple[str, tuple[int, ...]]]


def fill(template: str, text: str) -> str:
    """The template with the text in its place; the empty text stays empty."""
    if template.count("{}") != 1:
        raise ValueError(f"a template needs exactly one {{}} where the concept goes, got {shown(template)}")
    return template.replace("{}", text) if text else ""


def subject_positions(read: Read, text: str, template: str = "{}") -> tuple[range, ...]:
    """The positions of a text's own tokens inside its template, all sub-tokens of all its words, in each block of rows
    (:attr:`~...backbone.TokenizedText.spans`). The empty text has one stand-in in each.

    Args:
        read: tokenizes a sentence.
        text: a word or phrase.
        template: a sentence with one ``{}`` where the text goes.

    Raises ``ValueError`` when the template glues letters to the text, so that no token is the text's own.
    """
    sentence = read(fill(template, text))
    if not sentence.tokens:
        stand_ins = sentence.ends if sentence.start is None else (sentence.start,)
        return tuple(range(stand_in, stand_in + 1) for stand_in in stand_ins)
    texts = (read(template.partition("{}")[0]), read(text), sentence)
    encoders = range(len(sentence.spans))
    found = [_place(*(words_of(only_reading(one, encoder)) for one in texts)) for encoder in encoders]
    places = tuple(place for place in found if place is not None)
    if len(places) < len(found):
        raise ValueError(f"{shown(text)} is no text of its own inside {shown(template)}: put a space around the {{}}")
    return places


def _place(before: _Words, bare: _Words, words: _Words) -> range | None:
    """Where the words of a text stand among those of a sentence, which begins with those before; None for nowhere.

    Words are compared, not tokens: language models cut a word in another way behind a space.
    """
    own = words[len(before) : len(before) + len(bare)]
    if not bare or [word for word, _ in own] != [word for word, _ in bare]:
        return None
    return range(own[0][1][0], own[-1][1][-1] + 1)
