"""Sparse-CBM's first loss: the sum of the absolute weights of the concept layer."""

import torch
from torch import Tensor

from ..layer import ConceptLayer, LayerTask, Parameters
from ..mixing import MixingSettings, apply_matrix, fit_matrix, settings_with


def _term(matrix: Tensor, made: Tensor, strongest: Tensor, generator: torch.Generator) -> Tensor:
    return matrix.abs().sum()


def _fit(task: LayerTask, settings: MixingSettings, generator: torch.Generator) -> Parameters:
    return fit_matrix(task, settings, generator, _term)


LAYER = ConceptLayer(
    "l1",
    "Sparse (l1)",
    "Concepts are mixed anew by a matrix with few weights.",
    settings_with(1e-3),
    _fit,
    apply_matrix,
)
