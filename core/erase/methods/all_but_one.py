"""All but One: move the guidance of an erased text alone, and leave the unconditional prediction where it is.

Hong, Lee and Woo, "All but One: Surgical Concept Erasing with Model Preservation in Text-to-Image Diffusion Models",
AAAI 2024, arXiv 2312.12807.

Guidance of a text y is g(y) = e(x_t, y) - e(x_t, 0). With e* the model as it was, a concept c is given the guidance of
the alternative c* that the user chose,

    L = || g(c) - g*(c*) ||^2 + keep || e(x_t, 0) - e*(x_t, 0) ||^2 ,

at every step that the model as it was visits while it draws c. The idea is the paper's; its formula could not be read,
so the form above, with the gradient through e(x_t, 0) stopped in the first term, is a reconstruction, and so are all
numbers. Without an alternative the target is no guidance, or ``-away g*(c)``. Preserved texts p keep their guidance,
``|| g(p) - g*(p) ||^2``, which is ours.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ...settings import setting
from ..eraser import Eraser, ModelEdit
from ..parts.rollouts import Visit
from ..parts.settings import SENTENCES, require
from ..parts.task import EraseTask
from ..parts.trained_settings import RolloutSettings
from ..parts.training import Student, loss_notes, train


@dataclass(frozen=True)
class AllButOneSettings(RolloutSettings):
    """How to erase. Raises ``ValueError`` for values outside their range."""

    keep: float = setting(1.0, "Weight of the loss that leaves the unconditional prediction where it is, 0 or more.")
    away: float = setting(0.0, "Without an anchor: how far the guidance is turned round, 0 is no guidance.")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.keep >= 0, "keep", self.keep, "0 or more")
        require(self.away >= 0, "away", self.away, "0 or more")


def _edit(task: EraseTask[AllButOneSettings]) -> ModelEdit:
    student, losses = train(METHOD.name, task, _losses)
    return ModelEdit(student.bank.snapshot(), notes={"rank": str(task.settings.rank), **loss_notes(losses)})


def _losses(student: Student, visit: Visit) -> tuple[Tensor, Tensor]:
    settings: AllButOneSettings = student.task.settings
    concepts, anchors = student.concepts(visit), student.concepts(visit, anchors=True)
    empty = [""] * len(concepts)
    preserved = student.preserved(visit) if settings.retain else []
    nothing, concept, anchor, *held = student.original(visit, empty, concepts, anchors, *preserved)
    guidance = torch.where(_named(anchors, anchor), anchor - nothing, -settings.away * (concept - nothing))
    unconditional, learnt, *now = student.learnt(visit, empty, concepts, *preserved)
    base = unconditional.detach()
    erase = mse_loss(learnt - base, guidance) + settings.keep * mse_loss(unconditional, nothing)
    if not preserved:
        return erase, torch.zeros_like(erase)
    return erase, torch.stack([mse_loss(one - base, was - nothing) for one, was in zip(now, held, strict=True)]).mean()


def _named(anchors: list[str], like: Tensor) -> Tensor:
    """(B, 1, 1, 1) bool: whether a row has an anchor."""
    return torch.tensor([bool(anchor) for anchor in anchors], device=like.device)[:, None, None, None]


_SMALL = AllButOneSettings(
    templates=SENTENCES,
    steps=100,
    rate=3e-3,
    layers="text",
    batch=2,
    side=128,
    sampling_steps=12,
    guidance=3.5,
    visits=0,
    keep=0.3,
    away=1.0,
    retain=0.3,
    retain_batch=1,
)

METHOD = Eraser(
    name="all_but_one",
    title="All but One",
    help="Trains a change of how the model reads text that gives each concept the guidance of its anchor, and leaves "
    "the unconditional prediction where it is.",
    presets={
        "paper": AllButOneSettings(steps=500, sampling_steps=50, visits=0, guidance=7.5, retain=1.0),
        "small": _SMALL,
        "small_transformer": replace(_SMALL, away=0.5, retain=10.0, retain_batch=4),
    },
    edit=_edit,
    trains=True,
    note="The paper's formula and numbers could not be read: the preset paper has ours for its setting.",
)
