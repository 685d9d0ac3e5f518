"""Checks on prompts that people write."""

import re

from ..core.types import ConceptTokens

MARK = re.compile(r"<([\w-]+)>")


def check_marks(text: str, tokens: ConceptTokens | None) -> None:
    """Raise ``ValueError`` when a prompt names a ``<mark>`` that no token stands for: it would be read as letters."""
    known = tokens.placeholders() if tokens is not None else {}
    unknown = [mark for mark in dict.fromkeys(MARK.findall(text)) if f"<{mark}>" not in known]
    if unknown:
        named = ", ".join(f"<{mark}>" for mark in unknown)
        there = ", ".join(known) or "none connected"
        raise ValueError(f"the prompt names {named}, but the tokens are: {there}")
