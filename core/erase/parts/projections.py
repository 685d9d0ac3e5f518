"""The weights that a closed-form edit changes: the projections of the text that read its width."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...backbone import Backbone, KeyValueWeight
from ...types import Change, FullChange
from .closed_form import Edit
from .settings import Projections


def projections_of(backbone: Backbone, width: int, projections: Projections) -> list[KeyValueWeight]:
    """The key or value projections, or both, that read vectors of this width; the one layer that is both, in any case.

    Raises ``ValueError`` for a model without one.
    """
    roles = ("key", "value", "text") if projections == "both" else (projections, "text")
    chosen = [weight for weight in backbone.key_value_weights() if weight.role in roles]
    fitting = [weight for weight in chosen if weight.weight.shape[1] == width]
    if not fitting:
        widths = sorted({weight.weight.shape[1] for weight in chosen})
        raise ValueError(f"the text has width {width}, but the model's projections read widths {widths}")
    return fitting


def gram(weights: Sequence[KeyValueWeight]) -> Tensor:
    """``sum of W^T W`` (D, D) in float64 over projections (d_out, D)."""
    width = weights[0].weight.shape[1]
    total = torch.zeros(width, width, dtype=torch.float64)
    for weight in weights:
        dense = weight.weight.cpu().double()
        total += dense.T @ dense
    return total


def changes(weights: Sequence[KeyValueWeight], edits: Edit | Mapping[str, Edit]) -> Mapping[str, Change]:
    """The change of each projection, by one edit for all or one each, by name.

    They are factors where the edit has a lower rank than the vectors are wide, otherwise whole differences.
    """
    of = edits if isinstance(edits, Mapping) else dict.fromkeys((weight.name for weight in weights), edits)
    low = all(edit.rank < edit.width for edit in of.values())
    factors = {weight.name: of[weight.name].of(weight.weight) for weight in weights}
    return factors if low else {name: FullChange(factor.dense()) for name, factor in factors.items()}


def rank_notes(edit: Edit) -> dict[str, str]:
    """Rank and error of an edit, for the metadata."""
    return {"rank": str(edit.rank), "relative_error": f"{edit.relative_error:.3g}"}
