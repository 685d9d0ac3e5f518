"""Every method of learning tokens, by name, in the order that people are shown."""

import json
from collections.abc import Mapping

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
    return phrase(name, json.loads(tokens.metadata.get("classes", "{}")) if follows else {})
