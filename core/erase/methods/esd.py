"""ESD: train the model to predict, for an erased text, away from it.

Gandikota et al., "Erasing Concepts from Diffusion Models", ICCV 2023, arXiv 2303.07345.

On latents x_t that the model as it was begins to draw of a concept c, the prediction for c is led to

    e*(x_t, a) - (eta - 1) (e*(x_t, c) - e*(x_t, 0)) ,

e* being the model as it was. Without an anchor a is the empty text 0; this is then eq. 5 with its eta being our eta
less 1, in the counting of the authors' release. An anchor as the place to go is ours, as is the term that holds
preserved texts p and the empty one, ``|| e(x_t, p) - e*(x_t, p) ||^2``. Whole weights stand as low-rank changes here.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ...settings import setting
from ..eraser import Eraser, ModelEdit
from ..parts.rollouts import Visit
from ..parts.settings import SENTENCES
from ..parts.task import EraseTask
from ..parts.trained_settings import RolloutSettings
from ..parts.training import Student, loss_notes, train


@dataclass(frozen=True)
class EsdSettings(RolloutSettings):
    """How to erase. Defaults are the release's for Stable Diffusion 1.x (esd-x). Rate and rank are ours: it
    trains whole weights."""

    eta: float = setting(
        2.0, "How far the prediction is led away: 1 is to the anchor or the empty text, more is beyond."
    )


def _edit(task: EraseTask[EsdSettings]) -> ModelEdit:
    student, losses = train(METHOD.name, task, _losses)
    return ModelEdit(student.bank.snapshot(), notes={"rank": str(task.settings.rank), **loss_notes(losses)})


def _losses(student: Student, visit: Visit) -> tuple[Tensor, Tensor]:
    settings: EsdSettings = student.task.settings
    concepts, anchors = student.concepts(visit), student.concepts(visit, anchors=True)
    empty = [""] * len(concepts)
    kept = [empty, *student.preserved(visit)] if settings.retain else []
    concept, nothing, anchor, *held = student.original(visit, concepts, empty, anchors, *kept)
    target = anchor - (settings.eta - 1) * (concept - nothing)  # (B, C, h, w)
    learnt, *now = student.learnt(visit, concepts, *kept)
    erase = mse_loss(learnt, target)
    return erase, mse_loss(torch.cat(now), torch.cat(held)) if kept else torch.zeros_like(erase)


_SMALL = EsdSettings(
    templates=SENTENCES,
    steps=60,
    rate=3e-3,
    batch=2,
    side=128,
    sampling_steps=12,
    visits=0,
    retain=1.0,
    retain_batch=1,
    guidance=3.5,
    layers="text",
)

METHOD = Eraser(
    name="esd",
    title="ESD",
    help="Trains a change of how the model reads text, so that for each concept it predicts away from it.",
    presets={
        "paper": EsdSettings(),
        "small": _SMALL,
        "small_transformer": replace(_SMALL, retain=10.0, retain_batch=4),
    },
    edit=_edit,
    trains=True,
    note="The paper trains whole weights of cross-attention, for objects also all others; here low-rank changes "
    "of the weights that layers names.",
)
