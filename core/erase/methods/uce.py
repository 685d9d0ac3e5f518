"""Unified Concept Editing (UCE): erase concepts from the cross-attention projections in closed form.

Gandikota et al., "Unified Concept Editing in Diffusion Models", WACV 2024, arXiv 2308.14761.
"""

from dataclasses import dataclass

from ..eraser import Eraser, ModelEdit
from ..parts.closed_form import solve
from ..parts.gather import Steps, gather
from ..parts.projections import changes, projections_of, rank_notes
from ..parts.settings import SENTENCES, RidgeSettings
from ..parts.task import EraseTask


@dataclass(frozen=True)
class UceSettings(RidgeSettings):
    """How to erase. Defaults are the paper's; each field's help is in its metadata.

    Raises ``ValueError`` for values outside their range.
    """


def _edit(task: EraseTask[UceSettings]) -> ModelEdit:
    """The change of every projection that reads this text width, in float32 factors.

    Raises ``ValueError`` for a model without a projection that fits its text.
    """
    steps, settings = Steps(task), task.settings
    read = gather(task, steps)
    edit = solve(read.erased, read.anchors, read.preserved, settings)
    factors = changes(projections_of(task.backbone, edit.width, settings.projections), edit)
    steps()
    return ModelEdit(factors, notes=rank_notes(edit))


METHOD = Eraser(
    name="uce",
    title="UCE",
    help="Changes the text projections in closed form, so that they read each concept as its anchor; takes seconds.",
    presets={
        "paper": UceSettings(),
        "small": UceSettings(
            token_mode="from_subject_to_end", templates=SENTENCES, preserve_unconditional=True, rank_tolerance=1e-3
        ),
    },
    edit=_edit,
)
"""Presets: ``paper``, one token and no template; ``small`` for models that keep much of a concept in the
padding."""
