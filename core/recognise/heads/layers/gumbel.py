"""Sparse-CBM's third loss: the contrastive one on samples of a Gumbel-softmax (temperature 1, soft).

The released code averages minus log of the samples over all pairs of pictures and concepts, also those that do not
belong together, which is least where all shares are alike. Here the pairs that belong together are taken, as in
:mod:`.contrastive`.
"""

import torch
from torch import Tensor

from ..layer import ConceptLayer, LayerTask, Parameters
from ..mixing import MixingSettings, apply_matrix, fit_matrix, matched, settings_with


def _term(matrix: Tensor, made: Tensor, strongest: Tensor, generator: torch.Generator) -> Tensor:
    uniform = torch.rand(made.shape, generator=generator).clamp(1e-9, 1 - 1e-7)
    return matched(made - (-uniform.log()).log(), strongest)


def _fit(task: LayerTask, settings: MixingSettings, generator: torch.Generator) -> Parameters:
    return fit_matrix(task, settings, generator, _term)


LAYER = ConceptLayer(
    "gumbel",
    "Sparse (Gumbel)",
    "As contrastive, with random noise that leaves each picture few concepts (Sparse-CBM).",
    settings_with(0.1),
    _fit,
    apply_matrix,
)
