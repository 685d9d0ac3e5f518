"""Unified Concept Editing (UCE): erase concepts from the cross-attention projections in closed form.

Gandikota et al., "Unified Concept Editing in Diffusion Models", WACV 2024, arXiv 2308.14761.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ...backbone import KeyValueWeight
from ...settings import setting
from ...types import LowRank
from ..eraser import Eraser, EraseTask, ModelEdit, OnStep
from ..parts.closed_form import Edit, outer_sum, solve
from ..parts.concept_vectors import ConceptRows, alone, paired, rows_of_each, vectors
from ..parts.settings import EraseSettings, require

Projections = Literal["key", "value", "both"]


@dataclass(frozen=True)
class UceSettings(EraseSettings):
    """How to erase. Defaults are the paper's; each field's help is in its metadata.

    Raises ``ValueError`` for values outside their range.
    """

    erase_scale: float = setting(1.0, "Weight of the erased concepts (s_e), above 0.")
    preserve_scale: float = setting(1.0, "Weight of the preserved concepts (s_p), 0 or more.")
    damping: float = setting(0.5, "Weight of staying near the original (lambda), above 0: higher is gentler.")
    projections: Projections = setting("both", "Edit keys (where to look), values (what is drawn), or both.")
    preserve_unconditional: bool = setting(
        False, "Also preserve every position of the empty prompt, which guidance reads."
    )
    rank_tolerance: float = setting(
        0.0, "Share of the edit that may be lost when near-equal vectors are merged, 0 = exact."
    )
    max_rank: int = setting(0, "Upper bound of the rank, 0 = none. What it costs is recorded.")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.erase_scale > 0, "erase_scale", self.erase_scale, "above 0")
        require(self.preserve_scale >= 0, "preserve_scale", self.preserve_scale, "0 or more")
        require(self.damping > 0, "damping", self.damping, "above 0")
        require(0 <= self.rank_tolerance < 1, "rank_tolerance", self.rank_tolerance, "from 0 to below 1")
        require(self.max_rank >= 0, "max_rank", self.max_rank, "0 or more")
        require(self.projections in ("key", "value", "both"), "projections", self.projections, "key, value or both")


def _edit(task: EraseTask[UceSettings]) -> ModelEdit:
    """The change of every projection that reads this text width, in float32 factors.

    Raises ``ValueError`` for a model without a projection that fits its text.
    """
    texts = _Texts(task.pairs, task.preserve)
    edit = solve(*_gather(task, texts), task.settings)
    factors = _factors(task.backbone.key_value_weights(), edit, task.settings.projections)
    if task.on_step is not None:
        task.on_step(texts.count + 1, texts.count + 1)
    return ModelEdit(factors, notes={"rank": str(edit.rank), "relative_error": f"{edit.relative_error:.3g}"})


class _Texts:
    """What is to be encoded, in order: each anchor once, ahead of its concepts; then what is only preserved."""

    def __init__(self, pairs: Sequence[tuple[str, str]], preserve: Sequence[str]) -> None:
        self.concepts: dict[str, list[str]] = {anchor: [] for _, anchor in pairs}
        for concept, anchor in pairs:
            self.concepts[anchor].append(concept)
        self.times = Counter(text for text in preserve if text.strip())
        self.only_preserved = [text for text in self.times if text not in self.concepts]
        self.count = len(self.in_order())

    def in_order(self) -> list[str]:
        return [text for group in self.concepts.items() for text in (group[0], *group[1])] + self.only_preserved


def _gather(task: EraseTask[UceSettings], texts: _Texts) -> tuple[Tensor, Tensor, Tensor]:
    """Concept and anchor vectors, (n, D) each, and the sum of ``p_j p_j^T`` (D, D) of the preserved ones.

    Rows are used as they are encoded: only the sum of the preserved ones is held, and only the last anchor.
    """
    settings = task.settings
    how = (settings.token_mode, settings.templates, task.placeholders)
    rows = _counted(rows_of_each(task.backbone, texts.in_order(), *how), texts.count, task.on_step)
    moved: list[tuple[Tensor, Tensor]] = []
    preserved = torch.zeros((), dtype=torch.float64)
    for anchor, concepts in texts.concepts.items():
        theirs = next(rows)
        preserved = preserved + texts.times[anchor] * outer_sum(alone(theirs, settings.combine))
        moved.extend(paired(next(rows), theirs, settings.combine) for _ in concepts)
    for text in texts.only_preserved:
        preserved = preserved + texts.times[text] * outer_sum(alone(next(rows), settings.combine))
    if settings.preserve_unconditional:
        preserved = preserved + outer_sum(vectors(task.backbone, "", "all"))
    return torch.cat([ours for ours, _ in moved]), torch.cat([theirs for _, theirs in moved]), preserved


def _counted(rows: Iterator[list[ConceptRows]], total: int, on_step: OnStep | None) -> Iterator[list[ConceptRows]]:
    for done, one in enumerate(rows, 1):
        if on_step is not None:
            on_step(done, total + 1)
        yield one


def _factors(weights: Sequence[KeyValueWeight], edit: Edit, projections: Projections) -> dict[str, LowRank]:
    width = edit.down.shape[1]
    chosen = [weight for weight in weights if projections in ("both", weight.role)]
    fitting = [weight for weight in chosen if weight.weight.shape[1] == width]
    if not fitting:
        widths = sorted({weight.weight.shape[1] for weight in chosen})
        raise ValueError(f"the text has width {width}, but the model's projections read widths {widths}")
    return {weight.name: edit.of(weight.weight) for weight in fitting}


METHOD = Eraser(
    name="uce",
    title="UCE",
    help="Changes the text projections in closed form, so that they read each concept as its anchor; takes seconds.",
    presets={
        "paper": UceSettings(),
        "small": UceSettings(
            token_mode="from_subject_to_end",
            templates=("{}", "a {}", "a photo of a {}", "a picture of a {}", "a drawing of a {}"),
            preserve_unconditional=True,
            rank_tolerance=1e-3,
        ),
    },
    edit=_edit,
)
"""Presets: ``paper``, one token and no template; ``small`` for models that keep much of a concept in the
padding."""
