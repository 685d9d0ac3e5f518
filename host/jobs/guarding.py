"""What Guard Against Concepts does: reads the concepts and puts a guard on a MODEL."""

from collections.abc import Sequence
from typing import Any

from ...core.attention.words import first_places
from ...core.backbone import Backbone, Placeholders
from ...core.erase.guards.guard import Guarded
from ...core.erase.parts.requests import check_texts, pair_anchors

SENTENCE = "a photo of {}"


def guarded_concepts(
    backbone: Backbone,
    concepts: Sequence[str],
    anchors: str | Sequence[str],
    placeholders: Placeholders,
    strength: float,
) -> tuple[Guarded, ...]:
    """Concepts with their anchors, encoded. Raises ``ValueError`` as
    :func:`~...core.erase.parts.requests.check_texts` does."""
    pairs = pair_anchors(concepts, anchors)
    check_texts(pairs, (), strength)

    def read(concept: str, anchor: str) -> Guarded:
        text = SENTENCE.format(concept)
        tokens = backbone.tokenize(text, placeholders)
        told, instead = (
            backbone.encode_text([one], placeholders) for one in (text, SENTENCE.format(anchor) if anchor else "")
        )
        return Guarded(concept, told, tokens, first_places(tokens, concept), instead)

    return tuple(read(*pair) for pair in pairs)


def described(method: Any, settings: Any, concepts: Sequence[Guarded], strength: float) -> str:
    """What is guarded and what it costs, for people."""
    if strength == 0:
        return "Strength 0: the model is as it was."
    names = ", ".join(concept.name for concept in concepts)
    return f"{method.title} keeps out {names}, at strength {strength:g}. Cost: {settings.cost}. {method.note}".strip()
