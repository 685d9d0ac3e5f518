"""Sparse-CBM's second loss, contrastive between pictures and concepts.

The paper matches a batch of pictures with their texts. Here a picture's match is the concept that it is most similar to
beyond the usual, so that no captions are needed.
"""

import torch
from torch import Tensor

from ..layer import ConceptLayer, LayerTask, Parameters
from ..mixing import MixingSettings, apply_matrix, fit_matrix, matched, settings_with


def _term(matrix: Tensor, made: Tensor, strongest: Tensor, generator: torch.Generator) -> Tensor:
    return matched(made, strongest)


def _fit(task: LayerTask, settings: MixingSettings, generator: torch.Generator) -> Parameters:
    return fit_matrix(task, settings, generator, _term)


LAYER = ConceptLayer(
    "contrastive",
    "Contrastive",
    "Concepts are mixed anew so that each picture's strongest one stands out.",
    settings_with(0.1),
    _fit,
    apply_matrix,
)
