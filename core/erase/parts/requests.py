"""What people ask to erase: concepts with their anchors, checked before anything is computed."""

import math
from collections.abc import Sequence


def pair_anchors(concepts: Sequence[str], anchors: str | Sequence[str]) -> list[tuple[str, str]]:
    """Each concept with its anchor. Raises ``ValueError`` when there are neither one nor as many anchors."""
    listed = [anchors] if isinstance(anchors, str) else list(anchors)
    if len(listed) not in (1, len(concepts)):
        raise ValueError(f"{len(concepts)} concepts need 1 or {len(concepts)} anchors, got {len(listed)}")
    listed = listed * len(concepts) if len(listed) == 1 else listed
    return [(concept.strip(), anchor.strip()) for concept, anchor in zip(concepts, listed, strict=True)]


def check_texts(pairs: Sequence[tuple[str, str]], preserve: Sequence[str], strength: float) -> None:
    """Raise ``ValueError`` for texts or a strength that contradict themselves."""
    erased = [_plain(concept) for concept, _ in pairs]
    if not erased or "" in erased:
        raise ValueError("name at least one concept to erase, and leave none empty")
    repeated = sorted({name for name in erased if erased.count(name) > 1})
    if repeated:
        raise ValueError(f"concepts listed twice: {', '.join(repeated)}")
    both = sorted(set(erased) & {_plain(text) for text in preserve})
    if both:
        raise ValueError(f"{', '.join(both)}: listed to be erased and to be preserved; take it off one list")
    unmoved = [concept for concept, anchor in pairs if _plain(concept) == _plain(anchor)]
    if unmoved:
        raise ValueError(f"{', '.join(unmoved)}: the anchor is the concept itself, so nothing would change")
    if not math.isfinite(strength):
        raise ValueError(f"strength must be a finite number, got {strength}")


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
