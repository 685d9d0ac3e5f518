"""The concept layer of Sparse-CBM (*Sparse Concept Bottleneck Models*, Semenov et al. 2024, arXiv 2404.03323): a square
matrix W without bias on the similarities s of a picture to K concepts, c = W s, trained together with a linear head by
cross-entropy and one further loss.

It begins as the identity. A term of ours keeps c like s (their mean cosine), since else a concept's name says nothing
of its number any more. The head that trains it is thrown away: :mod:`.linear` fits the one that is used.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy

from ...settings import Settings, setting
from .features import HeadFeatures
from .layer import ConceptValues, LayerTask, Parameters

MATRIX = "mix"

Term = Callable[[Tensor, Tensor, Tensor, torch.Generator], Tensor]
"""The matrix (K, K), what it gives (P, K), each picture's strongest concept (P,), and a generator to a loss."""


@dataclass(frozen=True)
class MixingSettings(Settings):
    """Settings of a concept layer on similarities; each field's help is in its metadata."""

    steps: int = setting(150, "Updates.", least=1)
    rate: float = setting(1e-2, "Learning rate of Adam.", above=0)
    weight: float = setting(1.0, "Weight of the layer's own loss beside cross-entropy.", least=0)
    alike: float = setting(1.0, "Weight of the term that keeps concepts like their similarities.", least=0)


def fit_matrix(task: LayerTask, settings: MixingSettings, generator: torch.Generator, term: Term) -> Parameters:
    """The matrix of a task, trained with a further term."""
    given = task.features.values.detach()
    concepts = given.shape[1]
    with torch.inference_mode(False), torch.enable_grad():
        given, labels = given.clone(), task.labels.clone()
        strongest = given.argmax(1)
        counts = torch.bincount(labels, minlength=task.classes).clamp(min=1)
        balance = counts.sum() / (task.classes * counts.float())
        matrix = torch.eye(concepts).requires_grad_()
        head = torch.zeros(task.classes, concepts).requires_grad_()
        optimizer = torch.optim.Adam([matrix, head], settings.rate)
        for _ in range(settings.steps):
            made = given @ matrix.T  # (P, K)
            loss = cross_entropy(made @ head.T, labels, weight=balance)
            loss = loss + settings.weight * term(matrix, made, strongest, generator)
            loss = loss + settings.alike * (1 - cosine_similarity(made, given, dim=1).mean())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return {MATRIX: matrix.detach()}


def apply_matrix(features: HeadFeatures, parameters: Parameters) -> ConceptValues:
    """c = W s; positions, where there are any, alike."""
    matrix = parameters[MATRIX].to(features.values)
    return ConceptValues(features.values @ matrix.T, None if features.maps is None else features.maps @ matrix.T)


def matched(picture_logits: Tensor, strongest: Tensor) -> Tensor:
    """() minus the mean log share of each picture's strongest concept among the concepts, and of the pictures that
    share it among all pictures; ``picture_logits`` (P, K)."""
    row = picture_logits.log_softmax(1).gather(1, strongest[:, None]).mean()
    column = picture_logits.log_softmax(0).gather(1, strongest[:, None]).mean()
    return -(row + column) / 2


def settings_with(weight: float) -> MixingSettings:
    """The defaults with another weight of the layer's own loss."""
    return replace(MixingSettings(), weight=weight)
