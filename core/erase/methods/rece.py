"""Reliable and Efficient Concept Erasure (RECE): erase what still evokes a concept, again and again.

Gong et al., "Reliable and Efficient Concept Erasure of Text-to-Image Diffusion Models", ECCV 2024, arXiv 2407.12383.

UCE's edit comes first. Each round then looks for the vectors that the edited projections ``W`` read most nearly as the
original ones ``W0`` read the concept, kept short by ``lambda_r``,

    min_c' sum_W ||W c' - W0 c||^2 + lambda_r ||c'||^2 ,   c' = (lambda_r I + sum W^T W)^-1 (sum W^T W0) c ,

and erases them in UCE's way, with the weights of the round before as the original. Every round multiplies the
projections from the right by one matrix, so that the whole stays ``W0 M`` with an ``M`` that all projections share.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...settings import setting
from ..eraser import Eraser, ModelEdit
from ..parts.closed_form import compress, outer_sum, solve
from ..parts.gather import Steps, gather
from ..parts.projections import changes, gram, projections_of, rank_notes
from ..parts.settings import SENTENCES, RidgeSettings, exact, require
from ..parts.task import EraseTask


@dataclass(frozen=True)
class ReceSettings(RidgeSettings):
    """How to erase. Defaults are the paper's for objects.

    Raises ``ValueError`` for values outside their range.
    """

    rounds: int = setting(1, "How often what still evokes the concept is looked for and erased, 0 or more (0: UCE).")
    revival_damping: float = setting(
        0.1, "How short those vectors are kept (lambda_r), above 0: smaller finds more, and harms more."
    )
    hold: bool = setting(
        False, "Let no round move what those before it erased (ours): without it a concept may come back in part."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.rounds >= 0, "rounds", self.rounds, "0 or more")
        require(self.revival_damping > 0, "revival_damping", self.revival_damping, "above 0")


def _edit(task: EraseTask[ReceSettings]) -> ModelEdit:
    settings = task.settings
    steps = Steps(task, more=settings.rounds + 1)
    read = gather(task, steps)
    weights = projections_of(task.backbone, read.erased.shape[1], settings.projections)
    shared = gram(weights)
    first = solve(read.erased, read.anchors, read.preserved, exact(settings))
    shift, down = first.shift, first.down
    steps()
    remarks, erased, preserved = [], read.erased, settings.preserve_scale * read.preserved
    for number in range(1, settings.rounds + 1):
        revived, share = revive(shared, shift, down, read.erased, settings.revival_damping)
        if settings.hold:
            preserved = preserved + settings.erase_scale * outer_sum(erased)
        again = solve(revived, read.anchors, preserved, exact(settings, preserve_scale=1.0))
        erased = revived
        # (I + shift down)(I + shift' down') = I + [shift, (I + shift down) shift'] [down; down']
        shift = torch.cat([shift, again.shift + shift @ (down @ again.shift)], dim=1)  # (D, r + r')
        down = torch.cat([down, again.down])  # (r + r', D)
        remarks.append(f"Before round {number}, a text could bring back {share:.0%} of what the concept said.")
        steps()
    edit = compress(shift, down, settings.rank_tolerance, settings.max_rank)
    return ModelEdit(changes(weights, edit), notes=rank_notes(edit), remarks=tuple(remarks))


def revive(shared: Tensor, shift: Tensor, down: Tensor, erased: Tensor, damping: float) -> tuple[Tensor, float]:
    """The vectors that evoke a concept most through edited projections ``W0 (I + shift down)``.

    Args:
        shared: (D, D) ``sum of W0^T W0`` over the projections.
        shift: (D, r).
        down: (r, D).
        erased: (n, D) vectors of the concepts.
        damping: lambda_r.

    Returns:
        (n, D), and the share of what the original projections read of the concepts that they bring back, 0 to 1.
    """
    edited = torch.eye(len(shared), dtype=torch.float64) + shift @ down  # (D, D)
    pull = edited.T @ shared  # (D, D), sum of W^T W0
    ridge = pull @ edited
    ridge.diagonal().add_(damping)
    revived = torch.linalg.solve(ridge, pull @ erased.T).T  # (n, D)
    missing = revived @ edited.T - erased  # (n, D), to be read by W0
    share = 1 - _read(shared, missing) / _read(shared, erased)
    return revived, min(max(share, 0.0), 1.0)


def _read(shared: Tensor, rows: Tensor) -> float:
    """``sum over projections and rows of ||W0 x||^2``."""
    return float((rows @ shared * rows).sum())


METHOD = Eraser(
    name="rece",
    title="RECE",
    help="Erases as UCE does, then finds and erases what still evokes the concept, as often as wanted; takes seconds.",
    presets={
        "paper": ReceSettings(token_mode="all", damping=0.1, preserve_scale=0.1),
        "small": ReceSettings(
            token_mode="from_subject_to_end",
            templates=SENTENCES,
            damping=0.2,
            preserve_unconditional=True,
            rank_tolerance=1e-3,
            revival_damping=10.0,
            hold=True,
        ),
    },
    edit=_edit,
    note="Its preset paper edits every position of a text, the start and the padding included. The paper draws test "
    "pictures after each round and keeps the best round; here the number of rounds is a setting.",
)
