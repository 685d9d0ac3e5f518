"""A change of a model as low-rank factors of the smallest rank that holds enough of it.

For a change D of a weight with singular values sigma, the best factors of rank r hold sum_{i<=r} sigma_i^2 / ||D||^2 of
it (Eckart and Young). Large weights are decomposed by a random range (Halko et al., arXiv 0909.4061).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..types import LowRank
from .localiser import OnWeight, Weights

EXACT_SIDE = 512
EXTRA, ROUNDS = 8, 3
"""Columns of the random range beyond the rank, and power iterations."""


@dataclass(frozen=True, eq=False)
class Slimmed:
    """A change as factors.

    Attributes:
        factors: weight name to factors, of the weights that have two sizes or more.
        kept: of the squared size of the change of these weights.
        left_out: names of biases and norms, which a LoRA does not hold.
    """

    factors: dict[str, LowRank]
    kept: float
    left_out: tuple[str, ...]

    @property
    def ranks(self) -> list[int]:
        """Of each weight."""
        return [one.down.shape[0] for one in self.factors.values()]

    @property
    def numbers(self) -> int:
        """How many parameters the factors have."""
        return sum(one.up.numel() + one.down.numel() for one in self.factors.values())


def slim(
    base: Weights,
    tuned: Weights,
    names: Sequence[str],
    energy: float,
    max_rank: int,
    on_weight: OnWeight = lambda done, total: None,
) -> Slimmed:
    """Factors of what leads from ``base`` to ``tuned``.

    Args:
        base, tuned: weights of both models.
        names: of those that differ.
        energy: share of each weight's squared change to hold, in 0..1.
        max_rank: greatest rank; weights that would need more hold less.
        on_weight: called with each weight done, of how many.

    Raises ``ValueError`` if no weight of two sizes differs.
    """
    factors: dict[str, LowRank] = {}
    left_out: list[str] = []
    whole = held = 0.0
    for done, name in enumerate(names, 1):
        before = base[name]
        if before.ndim < 2:
            left_out.append(name)
            continue
        change = tuned[name].float().flatten(1) - before.float().flatten(1)  # (d_out, d_in)
        total = float(change.double().square().sum())
        factors[name], of_this = _factors(change, energy, max_rank, total)
        whole, held = whole + total, held + of_this
        on_weight(done, len(names))
    if not factors:
        raise ValueError("the fine-tune changes only biases and norms, which a LoRA does not hold")
    return Slimmed(factors, held / whole, tuple(left_out))


def _factors(change: Tensor, energy: float, max_rank: int, total: float) -> tuple[LowRank, float]:
    """Factors, and the squared size that they hold."""
    up, sizes, down = _decomposed(change, max_rank)
    held = sizes.double().square().cumsum(0)
    enough = (held >= energy * total * (1 - 1e-6)).nonzero()
    rank = min(max_rank, len(sizes), int(enough[0]) + 1 if len(enough) else len(sizes))
    root = sizes[:rank].sqrt()
    return LowRank((up[:, :rank] * root).cpu(), (root[:, None] * down[:rank]).cpu()), float(held[rank - 1])


def _decomposed(change: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """The greatest singular vectors and values: (d_out, k), (k,), (k, d_in)."""
    if min(change.shape) <= max(EXACT_SIDE, rank + EXTRA):
        up, sizes, down = torch.linalg.svd(change, full_matrices=False)
        return up, sizes, down
    made = torch.Generator().manual_seed(0)
    start = torch.randn(change.shape[1], rank + EXTRA, generator=made).to(change)
    basis = _orthogonal(change @ start)  # (d_out, k)
    for _ in range(ROUNDS):
        basis = _orthogonal(change @ _orthogonal(change.T @ basis))
    up, sizes, down = torch.linalg.svd(basis.T @ change, full_matrices=False)
    return basis @ up, sizes, down


def _orthogonal(columns: Tensor) -> Tensor:
    return torch.linalg.qr(columns)[0]
