"""What people ask to erase: concepts with their anchors, checked before anything is computed."""

import math
from collections import Counter
from collections.abc import Sequence

from ...messages import listed, there_are


def pair_anchors(concepts: Sequence[str], anchors: str | Sequence[str]) -> list[tuple[str, str]]:
    """Each concept with its anchor. Raises ``ValueError`` when there are neither one nor as many anchors."""
    given = [anchors] if isinstance(anchors, str) else list(anchors)
    if len(given) not in (1, len(concepts)):
        counts = there_are((len(concepts), "concept"), (len(given), "anchor"))
        raise ValueError(f"{counts}; give one anchor for all concepts, or one for each, in the same order")
    given = given * len(concepts) if len(given) == 1 else given
    return [(concept.strip(), anchor.strip()) for concept, anchor in zip(concepts, given, strict=True)]


def check_texts(pairs: Sequence[tuple[str, str]], preserve: Sequence[str], strength: float) -> None:
    """Raise ``ValueError`` for texts or a strength that contradict themselves."""
    erased = [_plain(concept) for concept, _ in pairs]
    if not erased or "" in erased:
        raise ValueError("name at least one concept to erase, and leave none empty")
    repeated = sorted(name for name, count in Counter(erased).items() if count > 1)
    if repeated:
        raise ValueError(f"concepts listed twice: {listed(repeated)}")
    both = sorted(set(erased) & {_plain(text) for text in preserve})
    if both:
        raise ValueError(f"{listed(both)}: listed to be erased and to be preserved; take it off one list")
    unmoved = [concept for concept, anchor in pairs if _plain(concept) == _plain(anchor)]
    if unmoved:
        raise ValueError(f"{listed(unmoved)}: the anchor is the concept itself, so nothing would change")
    if not math.isfinite(strength):
        raise ValueError(f"strength must be a finite number, got {strength}")


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
