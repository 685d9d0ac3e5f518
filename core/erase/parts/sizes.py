"""How far an erasure moves the model's weights."""

import math
from collections.abc import Sequence

from ...backbone import Backbone, TextWeight
from ...types import Change, Erasure, LowRank


def relative_changes(erasure: Erasure, backbone: Backbone) -> dict[str, float]:
    """How far each projection of the denoiser moves that an erasure changes, at the strength in force:
    ``||W - W0|| / ||W0||``, by name.

    Norms are Frobenius norms; that of a low-rank change is computed from its factors, without making it dense.
    """
    read = {weight.name: weight.weight for weight in backbone.key_value_weights() if weight.name in erasure.factors}
    others = backbone.attention_tensors() if len(read) < len(erasure.factors) else {}
    norms = {
        name: float((read[name] if name in read else others[name]).float().norm())
        for name in erasure.factors
        if name in read or name in others
    }
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
        return float(change.dense().cpu().double().norm())
    up, down = change.up.cpu().double(), change.down.cpu().double()  # float64, which not every device has
    return math.sqrt(max(float(((up.T @ up) * (down @ down.T)).sum()), 0.0))
