"""SPEED: erase many concepts at once, in directions that the preserved concepts do not use.

Li et al., "SPEED: Scalable, Precise, and Efficient Concept Erasure for Diffusion Models", ICLR 2026, arXiv 2503.07392.

With T = mean of c c^T and S = mean of c* c^T over the concepts' vectors c and their anchors' c*, the change of a
projection W is ``W (S - T) P Q M``: P projects on the directions that the preserved vectors leave free,
M = (T P + rho I)^-1, and Q = I - M C (C^T P M C + lambda I)^-1 C^T P keeps the columns of C exactly where they are.
"""

import re
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...clustering.finch import cluster_means
from ...clustering.kmeans import kmeans
from ...messages import listed
from ...settings import MOST_SEED, setting
from ..eraser import Eraser, ModelEdit
from ..parts.closed_form import Edit, compress, outer_sum, solve
from ..parts.concept_vectors import vectors
from ..parts.gather import Gathered, Steps, gather
from ..parts.projections import changes, gram, projections_of, rank_notes
from ..parts.settings import SENTENCES, ClosedFormSettings, Projections, RidgeSettings, require
from ..parts.task import EraseTask

CENTRES = 3  # of the empty text behind its start token, which stay equal with that


@dataclass(frozen=True)
class SpeedSettings(ClosedFormSettings):
    """How to erase. Defaults are the paper's for few concepts; its 10 to 100 celebrities take ``damping`` 0.05,
    ``threshold`` 1e-4 and ``filtered`` false.

    Raises ``ValueError`` for values outside their range.
    """

    damping: float = setting(1.0, "Weight of staying near the original (rho), above 0: higher is gentler.")
    projections: Projections = setting("value", "Edit keys (where to look), values (what is drawn), or both.")
    threshold: float = setting(
        0.1,
        "A direction may change where the preserved vectors' mean square is below this, above 0. They are scaled to a "
        "mean square of 1 an entry first, which those of the paper's text encoder about have.",
    )
    filtered: bool = setting(True, "Preserve those of the list alone that the erasing would move more than the mean.")
    augmented: int = setting(10, "Copies of each preserved vector, moved where a projection reads least; 0 or more.")
    equality_damping: float = setting(
        0.0, "How far the empty text may move (lambda), 0 or more; 0 leaves it exactly where it is."
    )
    per_projection: bool = setting(
        True, "Choose what is preserved for each projection; otherwise once for all, which is faster for wide texts."
    )
    seed: int = setting(0, "Of the copies and of the centres of the empty text.", least=0, most=MOST_SEED)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.threshold > 0, "threshold", self.threshold, "above 0")
        require(self.augmented >= 0, "augmented", self.augmented, "0 or more")
        require(self.equality_damping >= 0, "equality_damping", self.equality_damping, "0 or more")


def _edit(task: EraseTask[SpeedSettings]) -> ModelEdit:
    settings = task.settings
    kept, dropped = _without_concepts(task)
    task = replace(task, preserve=kept)
    steps = Steps(task)
    read = gather(task, steps, keep_rows=True)
    empty = vectors(task.backbone, "", "all")  # (L, D)
    rows = read.kept.double() if len(read.kept) else empty[-max(len(empty) - 1, 1) :]
    weights = projections_of(task.backbone, rows.shape[1], settings.projections)
    means = RidgeSettings(erase_scale=1 / len(read.erased), damping=1.0)
    plain = solve(read.erased, read.anchors, torch.zeros_like(read.preserved), means)
    problem = _Problem(read, plain, rows, _stay_equal(empty, settings.seed), settings)
    if settings.per_projection:
        found = {weight.name: problem.solve(gram([weight])) for weight in weights}
    else:
        found = dict.fromkeys((weight.name for weight in weights), problem.solve(gram(weights)))
    steps()
    edits, free = {name: edit for name, (edit, _) in found.items()}, [size for _, size in found.values()]
    if not any(free) or not any(map(_moves, edits.values())):
        raise ValueError(
            f"the {len(kept)} preserved texts and the empty one leave no direction free to erase in; preserve fewer, "
            f"raise the threshold (now {settings.threshold:g}), or let the empty text move (equality_damping, now "
            f"{settings.equality_damping:g})"
        )
    said = f"Of {rows.shape[1]} directions, {min(free)} to {max(free)} were free to change."
    dropped_said = f"These contain an erased concept and are not preserved: {listed(dropped)}."
    largest = max(edits.values(), key=lambda edit: edit.rank)
    return ModelEdit(
        changes(weights, edits), notes=rank_notes(largest), remarks=(said, dropped_said) if dropped else (said,)
    )


def _moves(edit: Edit) -> bool:
    """Whether an edit is more than rounding."""
    return float(edit.shift.norm() * edit.down.norm()) > 1e-9


@dataclass(frozen=True, eq=False)
class _Problem:
    """What is the same for all projections."""

    read: Gathered
    plain: Edit  # W (S - T)(I + T)^-1
    kept: Tensor  # (m, D)
    equal: Tensor  # (D, c), the columns of C
    settings: SpeedSettings

    def solve(self, squared: Tensor) -> tuple[Edit, int]:
        """The edit of a projection with ``W^T W`` (D, D), and in how many directions it may change."""
        c, anchors = self.read.erased.T, self.read.anchors.T  # (D, n)
        n = c.shape[1]
        free = free_directions(self._kept(squared), self.settings.threshold)  # (D, f)
        t = c @ c.T / n
        # In the basis of free directions F, with P = F F^T: P M = F (F^T T F + rho I)^-1 F^T, and so P Q M
        inner = free.T @ t @ free
        inner.diagonal().add_(self.settings.damping)
        read = torch.linalg.solve(inner, free.T)  # (f, D), of P M = F @ read
        held = free.T @ self.equal  # (f, c)
        weight = self.equal.T @ free @ (read @ self.equal)  # (c, c), C^T P M C
        weight.diagonal().add_(self.settings.equality_damping)
        bound = torch.linalg.pinv(weight, hermitian=True) @ (self.equal.T @ free @ read)  # (c, D)
        solved = read - read @ self.equal @ bound if held.numel() else read  # (f, D)
        down = (c.T @ free) @ solved / n  # (n, D)
        settings = self.settings
        return compress(anchors - c, down, settings.rank_tolerance, settings.max_rank), free.shape[1]

    def _kept(self, squared: Tensor) -> Tensor:
        """``sum of x x^T`` (D, D) over the preserved vectors that count for one projection, and over their copies."""
        settings, kept = self.settings, self.kept
        moved = self._moved(kept, squared)
        mean = moved.mean()
        if settings.filtered:
            kept = kept[moved >= mean]
        if not settings.augmented:
            return outer_sum(kept)
        generator = torch.Generator().manual_seed(settings.seed)
        least = torch.linalg.eigh(squared).eigenvectors[:, 0]  # (D,), what the projection reads least
        times, along = torch.ones(len(kept), dtype=torch.float64), torch.zeros(len(kept), dtype=torch.float64)
        beyond = 0.0
        read, step = kept @ self.plain.down.T, self.plain.down @ least  # (k, r), (r,)
        for _ in range(settings.augmented):
            noise = torch.randn(len(kept), generator=generator, dtype=torch.float64)
            taken = (self._length(read + noise[:, None] * step, squared) >= mean).double()
            times, along, beyond = times + taken, along + taken * noise, beyond + float((taken * noise**2).sum())
        # sum of (x + n v)(x + n v)^T over the copies, without writing them out
        cross = torch.outer(along @ kept, least)  # (D, D)
        return (kept * times[:, None]).T @ kept + cross + cross.T + beyond * torch.outer(least, least)

    def _moved(self, rows: Tensor, squared: Tensor) -> Tensor:
        """How far a plain ridge solution, ``W (S - T)(I + T)^-1``, would move each of the rows; (m,)."""
        return self._length(rows @ self.plain.down.T, squared)

    def _length(self, read: Tensor, squared: Tensor) -> Tensor:
        """The same of what the plain solution's ``down`` reads of the rows, (m, r)."""
        return (read @ (self.plain.shift.T @ squared @ self.plain.shift) * read).sum(1).clamp(min=0).sqrt()


def free_directions(kept: Tensor, threshold: float) -> Tensor:
    """An orthonormal basis (D, f) of where vectors have a mean square below ``threshold``.

    Args:
        kept: (D, D) sum of ``x x^T`` over the vectors, scaled here to a mean square of 1 an entry.
        threshold: above 0.
    """
    values, basis = torch.linalg.eigh(kept * (len(kept) / kept.trace()))
    return basis[:, values < threshold]


def _stay_equal(empty: Tensor, seed: int) -> Tensor:
    """(D, 1 + CENTRES): the empty text's first row, and the centres of its others, where it has any."""
    if len(empty) == 1:
        return empty.T
    labels = kmeans(empty[1:], min(CENTRES, len(empty) - 1), seed)
    return torch.cat([empty[:1], cluster_means(empty[1:], labels)]).T


def _without_concepts(task: EraseTask[SpeedSettings]) -> tuple[tuple[str, ...], list[str]]:
    """The preserved texts that contain no concept as a whole word, and those that do."""
    named = re.compile("|".join(rf"(?<!\w){re.escape(concept)}(?!\w)" for concept, _ in task.pairs), re.IGNORECASE)
    dropped = [text for text in task.preserve if named.search(text)]
    return tuple(text for text in task.preserve if text not in dropped), dropped


METHOD = Eraser(
    name="speed",
    title="SPEED",
    help="Erases many concepts at once, in the directions alone that the preserved texts do not use; takes seconds.",
    presets={
        "paper": SpeedSettings(),
        "small": SpeedSettings(
            token_mode="from_subject_to_end",
            templates=SENTENCES,
            damping=0.01,
            projections="both",
            rank_tolerance=1e-3,
            threshold=0.003,
            filtered=False,
            augmented=0,
        ),
    },
    edit=_edit,
    note="List what must stay: what is not listed is not protected. Without a list, the empty text is preserved.",
)
