"""The vectors that a task is about: of every concept beside its anchor's, and of what is preserved.

Texts are encoded once each, in batches, and used as they come: of preserved texts only the sum of ``p p^T`` is held,
unless a method asks for their rows.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .closed_form import OuterSum
from .concept_vectors import Combine, ConceptRows, alone, paired, rows_of_each, vectors
from .settings import ClosedFormSettings, RidgeSettings
from .task import EraseTask, OnStep

Cut = Callable[[ConceptRows], ConceptRows]
"""Which rows of a concept, and of its anchor, a method edits."""

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Gathered:
    """What a closed-form method reads.

    Attributes:
        concepts: in the order of ``moved``, which goes by anchors.
        moved: for each cut that was asked for and each concept, its vectors and its anchor's beside them, (n, D)
            float64 each.
        preserved: (D, D) float64 sum of ``p p^T`` over the vectors of preserved texts; zeros where there are none.
        kept: (m, D) float32, those vectors themselves, where they were asked for; else (0, D).
    """

    concepts: tuple[str, ...]
    moved: tuple[tuple[Pair, ...], ...]
    preserved: Tensor
    kept: Tensor

    @property
    def erased(self) -> Tensor:
        """(sum of n, D), of the first cut."""
        return torch.cat([ours for ours, _ in self.moved[0]])

    @property
    def anchors(self) -> Tensor:
        """(sum of n, D), of the first cut."""
        return torch.cat([theirs for _, theirs in self.moved[0]])


class Texts:
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


class Steps:
    """How far a task is: its texts, then what a method does beside, one call a step.

    Args:
        task: whose ``on_step`` is called.
        more: how many steps come beside the texts.
    """

    def __init__(self, task: EraseTask[ClosedFormSettings], more: int = 1) -> None:
        self.on_step: OnStep | None = task.on_step
        self.done, self.total = 0, Texts(task.pairs, task.preserve).count + more

    def __call__(self) -> None:
        self.done += 1
        if self.on_step is not None:
            self.on_step(self.done, self.total)


def whole(rows: ConceptRows) -> ConceptRows:
    """All rows of a text: the :data:`Cut` that edits what the token mode says."""
    return rows


def own(rows: ConceptRows) -> ConceptRows:
    """The rows of a text's own tokens."""
    return rows.of_subject()


def behind(rows: ConceptRows) -> ConceptRows:
    """The rows after a text's own tokens: what other words have read of it."""
    return rows.of_rest()


def gather(task: EraseTask[ClosedFormSettings], steps: Steps, *cuts: Cut, keep_rows: bool = False) -> Gathered:
    """Encode what a task names and line it up; ``steps`` is called once a text.

    Args:
        task: what to erase.
        steps: see :class:`Steps`.
        cuts: which rows of concepts and anchors are taken; all of them, once, where none is given.
        keep_rows: whether the preserved vectors themselves are given too.
    """
    settings, texts = task.settings, Texts(task.pairs, task.preserve)
    how = (settings.token_mode, settings.templates, task.placeholders)
    rows = _counted(rows_of_each(task.backbone, texts.in_order(), *how), steps)
    moved: list[list[Pair]] = []
    preserved, kept = OuterSum(), []

    def preserve(vectors_: Tensor, times: int) -> None:
        preserved.add(vectors_, times)
        if keep_rows and times:
            kept.append(vectors_.float())

    for anchor, concepts in texts.concepts.items():
        theirs = next(rows)
        preserve(alone(theirs, settings.combine), texts.times[anchor])
        for _ in concepts:
            ours = next(rows)
            moved.append([_beside(ours, theirs, cut, settings.combine) for cut in cuts or (whole,)])
    for text in texts.only_preserved:
        preserve(alone(next(rows), settings.combine), texts.times[text])
    if isinstance(settings, RidgeSettings) and settings.preserve_unconditional:
        preserve(vectors(task.backbone, "", "all"), 1)
    width = moved[0][0][0].shape[1]
    concepts_ = tuple(concept for group in texts.concepts.values() for concept in group)
    by_cut = tuple(zip(*moved, strict=True))
    return Gathered(concepts_, by_cut, preserved.total(), torch.cat([torch.zeros(0, width), *kept]))


def _beside(ours: Sequence[ConceptRows], theirs: Sequence[ConceptRows], cut: Cut, combine: Combine) -> Pair:
    return paired([cut(one) for one in ours], [cut(one) for one in theirs], combine)


def _counted(rows: Iterator[list[ConceptRows]], steps: Steps) -> Iterator[list[ConceptRows]]:
    for one in rows:
        steps()
        yield one
