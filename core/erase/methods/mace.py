"""MACE's closed forms: take the traces of a concept out of the words around it, then join one edit per concept.

Lu et al., "MACE: Mass Concept Erasure in Diffusion Models", CVPR 2024, arXiv 2403.06135.

The method has three stages. The first refines the projections ``W0`` so that the words around a concept, end and
padding among them, are read as they are around its anchor: with their vectors f beside the concept and g beside the
anchor,

    W1 = (sum W0 g f^T + lambda W0 + kappa S1) (sum f f^T + lambda I + kappa S2)^-1 ,

where ``S1 = W0 S2`` keeps the preserved vectors, ``S2 = sum p p^T``. The second trains one LoRA per concept that takes
the attention off its own words; that needs pictures and training (:mod:`.mace_lora`). Here UCE's edit of these words
stands in for it, one concept at a time. The third solves for the projections that read every vector of every concept as
that concept's own edit does, by the same formula.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...settings import setting
from ..eraser import Eraser, ModelEdit
from ..parts.closed_form import Edit, compress, outer_sum, solve
from ..parts.concept_vectors import TokenMode, concept_rows, vectors
from ..parts.gather import Steps, behind, gather, own, whole
from ..parts.projections import changes, projections_of, rank_notes
from ..parts.settings import SENTENCES, RidgeSettings, exact, require
from ..parts.task import EraseTask


@dataclass(frozen=True)
class MaceSettings(RidgeSettings):
    """How to erase. Defaults are the paper's for one object; its preserve list weighs as in its runs on celebrities.

    Raises ``ValueError`` for values outside their range.
    """

    token_mode: TokenMode = setting(
        "from_subject_to_end", "Fixed: a concept's tokens and all that follows them, padding included."
    )
    phrase_damping: float = setting(
        0.1, "Weight of staying near the original in the edit of a concept's own words, above 0."
    )
    refine: bool = setting(True, "Take the traces of a concept out of the words around it first.")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.phrase_damping > 0, "phrase_damping", self.phrase_damping, "above 0")
        require(
            self.token_mode == "from_subject_to_end",
            "token_mode",
            self.token_mode,
            "from_subject_to_end, which separates a concept's words from those around it",
        )


@dataclass(frozen=True, eq=False)
class Refined:
    """The first stage.

    Attributes:
        edit: of every projection, ``W1 = W0 (I + shift down)``; None where it is left out, or where no word or token
            comes after a concept (text encoders without an end token).
        kept: (D, D), ``kappa S2``: what is read as by ``W0``.
        concepts: in the order of what follows.
        words: of each its own words' vectors, and its anchor's beside them, (n, D) each.
        every: of each all its vectors (n, D).
    """

    edit: Edit | None
    kept: Tensor
    concepts: tuple[str, ...]
    words: Sequence[tuple[Tensor, Tensor]]
    every: Sequence[Tensor]

    def system(self, settings: RidgeSettings) -> Tensor:
        """(D, D), what the third stage divides by."""
        eye = torch.eye(len(self.kept), dtype=torch.float64)
        return self.kept + settings.damping * eye + sum(settings.erase_scale * outer_sum(ours) for ours in self.every)


def _edit(task: EraseTask[MaceSettings]) -> ModelEdit:
    settings = task.settings
    steps = Steps(task)
    first = refine(task, steps)
    one_each = exact(settings, damping=settings.phrase_damping)
    edits = [solve(*pair, torch.zeros_like(first.kept), one_each) for pair in first.words]
    edit = fuse(first, edits, settings)
    steps()
    weights = projections_of(task.backbone, edit.width, settings.projections)
    return ModelEdit(changes(weights, edit), notes=rank_notes(edit))


def refine(task: EraseTask[MaceSettings], steps: Steps) -> Refined:
    """The first stage; ``steps`` is called once a text."""
    settings = task.settings
    read = gather(task, steps, behind, own, whole)
    _, words, every = read.moved
    kept = settings.preserve_scale * read.preserved + len(every) * _before(task)  # (D, D)
    refines = settings.refine and len(read.erased) > 0
    edit = solve(read.erased, read.anchors, kept, exact(settings, preserve_scale=1.0)) if refines else None
    return Refined(edit, kept, read.concepts, words, [ours for ours, _ in every])


def fuse(stage: Refined, edits: Sequence[Edit | None], settings: RidgeSettings) -> Edit:
    """The third stage: one edit that reads every concept's vectors as its own edit does, after the first stage.

    Args:
        stage: the first.
        edits: one for each concept, on top of the first stage; None changes nothing.
        settings: scales, damping and how far to compress.
    """
    refined, eye = stage.edit, torch.eye(len(stage.kept), dtype=torch.float64)
    first = eye if refined is None else eye + refined.shift @ refined.down  # (D, D), W1 = W0 first
    moved = settings.damping * (first - eye)
    for edit, ours in zip(edits, stage.every, strict=True):
        own_ = first if edit is None else first + first @ edit.shift @ edit.down
        moved = moved + (own_ - eye) @ (settings.erase_scale * outer_sum(ours))
    change = torch.linalg.solve(stage.system(settings), moved.T).T  # (D, D), W = W0 (I + change)
    return compress(change, eye, settings.rank_tolerance, settings.max_rank)


def _before(task: EraseTask[MaceSettings]) -> Tensor:
    """``sum of x x^T`` (D, D) over what stands before a concept, in every sentence: the start, and a sentence's words.

    A causal text encoder reads them alike whatever follows, so that they are mapped to themselves. (T5, the encoder of
    FLUX.1 and Chroma, reads in both directions: there they are held as they are where nothing follows. On transformers
    no start is known, and the end of the empty text is held in its place.)
    """
    backbone, placeholders = task.backbone, task.placeholders
    start = outer_sum(vectors(backbone, "", "last_subject"))
    total = torch.zeros_like(start)
    for template in task.settings.templates:
        words = template.partition("{}")[0].strip()
        rows = concept_rows(backbone, words, "from_subject_to_end", placeholders=placeholders)[0] if words else None
        total = total + start + (0 if rows is None else outer_sum(rows.of_subject().joined()))
    return total


METHOD = Eraser(
    name="mace",
    title="MACE, its closed forms",
    help="Takes the traces of a concept out of the words around it, edits its own words, and joins the edits of all "
    "concepts; takes seconds.",
    presets={
        "paper": MaceSettings(templates=SENTENCES, combine="separate", damping=1e3, preserve_scale=0.8),
        "small": MaceSettings(
            templates=SENTENCES, combine="separate", preserve_unconditional=True, rank_tolerance=1e-3
        ),
    },
    edit=_edit,
    note="MACE trains a LoRA for each concept between its two closed forms; here UCE's edit of the concept's own words "
    "takes its place, and fewer sentences are used than in the paper (5 of 30). Train Erasure has MACE with its LoRAs.",
)
