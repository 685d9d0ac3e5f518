"""The least-squares problem behind closed-form erasing, kept as the low-rank change it is.

UCE (arXiv 2308.14761) asks for the ``W`` that minimises

    s_e sum ||W c_i - W0 g_i||^2 + s_p sum ||W p_j - W0 p_j||^2 + lambda ||W - W0||_F^2 .

With ``A = lambda I + s_e C C^T + s_p P P^T`` (vectors as columns) the preserved terms drop out of the difference and

    W - W0 = W0 (G - C) (s_e C^T A^-1) .

Everything right of ``W0`` is the same for all projections, so it is solved once. Preserved vectors enter by ``P P^T``
alone: it is summed up as they come (:class:`OuterSum`), and they need not be held.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from ...devices import exact_device
from ...types import LowRank


class Scales(Protocol):
    """The numbers the problem needs."""

    @property
    def erase_scale(self) -> float: ...
    @property
    def preserve_scale(self) -> float: ...
    @property
    def damping(self) -> float: ...
    @property
    def rank_tolerance(self) -> float: ...
    @property
    def max_rank(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Edit:
    """``W - W0 = W0 @ shift @ down`` for every projection ``W0`` of width D.

    Attributes:
        shift: (D, r) float64.
        down: (r, D) float64.
        relative_error: Frobenius norm of what was left out of ``shift @ down``, relative to the whole.
    """

    shift: Tensor
    down: Tensor
    relative_error: float

    @cached_property
    def _down(self) -> Tensor:
        """``down`` as all changes hold it: once, in float32, on the CPU."""
        return self.down.float().cpu()

    @property
    def rank(self) -> int:
        """Number of columns r, at least 1."""
        return self.down.shape[0]

    @property
    def width(self) -> int:
        """D of the vectors that the edited projections read."""
        return self.down.shape[1]

    def of(self, weight: Tensor) -> LowRank:
        """The change of one projection (d_out, D) of any float type, as float32 factors on the CPU."""
        device = exact_device(weight.device)
        up = weight.to(device).double() @ self.shift.to(device)  # (d_out, r)
        return LowRank(up=up.float().cpu(), down=self._down)


def outer_sum(rows: Tensor) -> Tensor:
    """``P P^T`` (D, D) in float64 of vectors (m, D), m 0 or more; of more vectors it is the sum of such."""
    columns = rows.double().T  # (D, m)
    return columns @ columns.T


class OuterSum:
    """``sum_j t_j p_j p_j^T`` (D, D) in float64 of vectors that come one after another.

    A product of (D, m) and (m, D) takes about as long for one vector as for many, so up to ``held`` wait for it.
    """

    def __init__(self, held: int = 256) -> None:
        self._held, self._count = held, 0
        self._waiting: list[Tensor] = []
        self._sum: Tensor | None = None

    def add(self, rows: Tensor, times: float = 1.0) -> None:
        """Vectors (m, D), m 0 or more; each counts ``times``, 0 or more."""
        if times:
            self._waiting.append(rows.double() * times**0.5)
            self._count += len(rows)
        if self._sum is None:
            self._sum = rows.new_zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
        if self._count >= self._held:
            self._take()

    def total(self) -> Tensor:
        """(D, D); zeros where nothing counted. Raises ``ValueError`` where no vectors came, whose width it has."""
        if self._sum is None:
            raise ValueError("no vectors were added, so their width is not known")
        self._take()
        return self._sum

    def _take(self) -> None:
        if self._waiting and self._sum is not None:
            self._sum = self._sum + outer_sum(torch.cat(self._waiting))
        self._waiting, self._count = [], 0


def solve(erased: Tensor, anchors: Tensor, preserved: Tensor, scales: Scales) -> Edit:
    """Solve the problem in float64.

    Args:
        erased: (n, D) vectors c_i.
        anchors: (n, D) vectors g_i.
        preserved: (D, D) sum of ``p_j p_j^T``, see :class:`OuterSum`; zeros preserve nothing.
        scales: ``erase_scale`` s_e, ``preserve_scale`` s_p, ``damping`` lambda > 0, and how far to compress.

    Returns:
        the edit, of rank at most ``min(n, D)``.
    """
    c, g = (rows.double().T for rows in (erased, anchors))  # (D, n) each
    a = scales.erase_scale * c @ c.T + scales.preserve_scale * preserved.double()  # (D, D)
    a.diagonal().add_(scales.damping)
    down = scales.erase_scale * torch.linalg.solve(a, c).T  # (n, D)
    return compress(g - c, down, scales.rank_tolerance, scales.max_rank)


def compress(shift: Tensor, down: Tensor, tolerance: float = 0.0, max_rank: int = 0) -> Edit:
    """Merge near-collinear vectors: the best approximation of ``shift @ down`` (D, n) (n, D) of lower rank.

    Args:
        shift: (D, n).
        down: (n, D).
        tolerance: the smallest rank is taken whose relative Frobenius error is at most this; 0 drops only what is
            zero to rounding.
        max_rank: upper bound of the rank whatever the error, 0 for none.
    """
    left, r_left = torch.linalg.qr(shift)  # (D, n), (n, n)
    right, r_right = torch.linalg.qr(down.T)  # (D, n), (n, n)
    u, s, vh = torch.linalg.svd(r_left @ r_right.T)  # (n, n), (n,), (n, n)
    rank = _rank(s, tolerance)
    rank = min(rank, max_rank) if max_rank else rank
    error = float(s[rank:].norm() / s.norm()) if s[0] > 0 else 0.0
    return Edit(left @ (u[:, :rank] * s[:rank]), vh[:rank] @ right.T, error)


def _rank(singular: Tensor, tolerance: float) -> int:
    rounding = torch.finfo(singular.dtype).eps * len(singular)
    bound = max(tolerance, rounding) * singular.norm()
    left_out = singular.square().flip(0).cumsum(0).flip(0).sqrt()  # norm of what rank 0, 1, ... leaves out
    return max(int((left_out > bound).sum()), 1)
