"""What pictures show, by words alone: class probabilities out of prompts with concepts, or out of a concept matrix.

CGBC (CVPR 2026) takes a concept as a latent variable: p(y|x) = sum over c of p(y|x, c) p(c|x). Every class has prompts
that name one or more of its concepts, and the scores of a class under its concepts are joined by
:func:`.soft_trim.soft_trim`. CMS (Concept Matrix Search, of *Sparse Concept Bottleneck Models*, 2024) compares a
picture's similarities to all concepts with those of every class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..evaluate.similarity import unit
from .soft_trim import TrimSettings, beyond_others, soft_trim

SCALE = 100.0
"""Factor on cosines, which CLIP's training ends with."""
Columns = Literal["standard", "sum"]


@dataclass(frozen=True, eq=False)
class ConceptBayes:
    """P pictures judged by K classes.

    Attributes:
        probabilities: (P, K), rows sum to one.
        scores: K tensors (P, C_k), of every prompt of a class.
        weights: K tensors (P, C_k), how much each prompt counted; rows sum to one.
    """

    probabilities: Tensor
    scores: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]

    def carried(self, picture: int, kind: int, most: int = 3) -> list[int]:
        """The prompts that carried a class in a picture, the strongest first: by their weight times how far their
        score lies above its mean over the pictures, or above the class's mean where there is one picture alone. None
        that lies below is among them."""
        own = self.scores[kind]
        usual = own.mean(0) if len(own) > 1 else own[picture].mean().expand(own.shape[1])
        lead = self.weights[kind][picture] * (own[picture] - usual)
        return [one for one in lead.argsort(descending=True, stable=True).tolist()[:most] if float(lead[one]) > 0]


def concept_bayes(
    pictures: Tensor,
    prompts: Sequence[Tensor],
    settings: TrimSettings | None = None,
    scale: float = SCALE,
    shared: bool = False,
) -> ConceptBayes:
    """Class probabilities of pictures (P, D), from K tensors (C_k, D) of each class's prompts, all of one space.

    Args:
        shared: whether the prompts of all classes name the same concepts in the same order; then ``beyond`` of the
            settings counts.

    Raises ``ValueError`` without two classes, for a class without prompts, and for shared prompts of other numbers.
    """
    if len(prompts) < 2:
        raise ValueError(f"a choice needs at least two classes, got {len(prompts)}")
    if shared and len({len(one) for one in prompts}) > 1:
        raise ValueError(f"classes that share concepts need as many prompts each, got {[len(one) for one in prompts]}")
    settings, seen = settings or TrimSettings(), unit(pictures)
    scores = tuple(scale * seen @ unit(one).T for one in prompts)  # (P, C_k) each
    if shared and settings.beyond:
        scores = beyond_others(torch.stack(scores, 1)).unbind(1)
    trimmed = [soft_trim(one, settings) for one in scores]
    joined = torch.stack([score for score, _ in trimmed], 1)  # (P, K)
    return ConceptBayes(joined.softmax(1), scores, tuple(weights for _, weights in trimmed))


def concept_matrix(
    pictures: Tensor, classes: Tensor, concepts: Tensor, columns: Columns = "standard", reference: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """CMS: cosines (P, K) between what pictures and what classes have of all concepts, and each concept's part in them.

    Args:
        pictures: (P, D). classes: (K, D). concepts: (C, D), all of one space.
        columns: how similarities to a concept are made comparable. ``sum`` divides them by their sum over the pictures,
            or classes, as published; it needs similarities above 0. ``standard`` subtracts the mean and divides by the
            standard deviation, which takes any encoder.
        reference: (R, D) pictures whose sums or means are taken in place of those of ``pictures``, so that the answer
            for one picture does not depend on those beside it.

    Returns:
        (P, K), and (P, K, C) whose sum over concepts is the first.
    """
    if len(classes) < 2 or len(concepts) < 2:
        raise ValueError(f"at least two classes and two concepts are needed, got {len(classes)} and {len(concepts)}")
    known = unit(concepts)
    by_picture, by_class = unit(pictures) @ known.T, unit(classes) @ known.T  # (P, C), (K, C)
    beside = by_picture if reference is None else unit(reference) @ known.T
    seen = normalize(_comparable(by_picture, beside, columns), dim=1)
    wanted = normalize(_comparable(by_class, by_class, columns), dim=1)
    parts = seen[:, None] * wanted[None]  # (P, K, C)
    return parts.sum(2), parts


def _comparable(values: Tensor, beside: Tensor, columns: Columns) -> Tensor:
    if columns == "sum":
        if float(torch.minimum(values.min(), beside.min())) <= 0:
            raise ValueError("some similarities are not above 0, so that sums mean nothing; choose standard columns")
        return values / beside.sum(0)
    spread = beside.std(0, correction=0)
    if len(beside) < 2 or float(spread.max()) == 0:  # one picture: compare its concepts with one another
        return values - values.mean(1, keepdim=True)
    return (values - beside.mean(0)) / spread.clamp(min=1e-6 * float(spread.max()))
