"""Checks on prompts that people write."""

import re

from ...core.attention.words import words_of
from ...core.backbone import TokenizedText
from ...core.messages import listed
from ...core.types import ConceptTokens

MARK = re.compile(r"<([\w-]+)>")
UNCLOSED = re.compile(r"<([\w-]+)(?![\w>-])")


def check_marks(text: str, tokens: ConceptTokens | None) -> None:
    """Raise ``ValueError`` for a ``<mark>`` that no token stands for, and for a token's mark without its ``>``.

    Both would be read as letters.
    """
    known = tokens.placeholders() if tokens is not None else {}
    unknown = [mark for mark in dict.fromkeys(MARK.findall(text)) if f"<{mark}>" not in known]
    if unknown:
        named = listed(f"<{mark}>" for mark in unknown)
        there = listed(known) or "none connected"
        raise ValueError(
            f"the prompt names {named}, but the tokens are: {there}; connect tokens with these names, or write words"
        )
    unclosed = [mark for mark in dict.fromkeys(UNCLOSED.findall(text)) if f"<{mark}>" in known]
    if unclosed:
        meant = listed(f"<{mark}>" for mark in unclosed)
        raise ValueError(f"the prompt has {listed(f'<{mark}' for mark in unclosed)} without its '>'; write {meant}")


def words_to_show(text: TokenizedText) -> list[str]:
    """Each written word and mark of a text once, in order, without punctuation.

    Raises ``ValueError`` for a text without any.
    """
    marks = {token.text for token in text.tokens if token.placeholder is not None}
    words = list(dict.fromkeys(word for word, _ in words_of(text) if word.isalnum() or word in marks))
    if not words:
        raise ValueError("the text has no words to show: give the prompt that was sampled")
    return words
