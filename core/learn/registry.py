"""Every method of learning tokens, by name, in the order that people are shown."""

from collections.abc import Mapping

from ..files.json_texts import a_map, a_text, parse_text
from ..registry import collect
from ..types import ConceptTokens
from .engine.method import Method
from .parts.class_words import phrase

METHODS: Mapping[str, Method] = collect(
    __package__,
    "METHOD",
    "methods.conceptexpress",
    "methods.cones",
    "methods.break_a_scene",
    "methods.disendiff",
    "methods.attencraft",
    "methods.far",
)
"""Method name to its record. To add a method, write its file and add one line here (see docs/extend.md)."""


def written(tokens: ConceptTokens, name: str) -> str:
    """How a prompt names a learnt token: ``<1>``, or ``<1> cat`` where the class word follows the token."""
    method = METHODS.get(tokens.metadata.get("method", ""))
    follows = method is not None and method.class_follows_token
    return phrase(name, _classes_of(tokens) if follows else {})


def _classes_of(tokens: ConceptTokens) -> dict[str, str]:
    """Class words as the tokens' metadata say them. Raises ``ValueError`` for what Learn Concept Tokens never wrote."""
    where = "the metadata of these tokens: their class words"
    read = a_map(parse_text(tokens.metadata.get("classes", "{}"), where), where)
    return {name: a_text(word, where) for name, word in read.items()}
