"""How far an erasure moves the model's weights."""

import math
from collections.abc import Sequence

from ...backbone import KeyValueWeight, TextWeight
from ...types import Change, Erasure, LowRank


def relative_changes(erasure: Erasure, weights: Sequence[KeyValueWeight]) -> dict[str, float]:
    """How far each edited projection moves at the strength in force: ``||W - W0|| / ||W0||``, by name.

    Norms are Frobenius norms; that of a low-rank change is computed from its factors, without making it dense.
    """
    norms = {weight.name: float(weight.weight.float().norm()) for weight in weights if weight.name in erasure.factors}
    moved = {name: abs(erasure.strength) * _norm(erasure.factors[name]) for name in norms}
    return {name: moved[name] / norm if norm > 0 else math.inf for name, norm in norms.items()}


def relative_text_changes(erasure: Erasure, weights: Sequence[TextWeight]) -> dict[str, float]:
    """The same of each text encoder weight that is changed, by encoder and name."""
    found: dict[str, float] = {}
    for one in weights:
        change = erasure.text.get(one.encoder, {}).get(one.name)
        if change is not None:
            norm = float(one.weight.float().norm())
            moved = abs(erasure.strength) * _norm(change)
            found[f"{one.encoder} {one.name}"] = moved / norm if norm > 0 else math.inf
    return found


def _norm(change: Change) -> float:
    if not isinstance(change, LowRank):
        return float(change.dense().double().norm())
    up, down = change.up.double(), change.down.double()
    return math.sqrt(max(float(((up.T @ up) * (down @ down.T)).sum()), 0.0))
