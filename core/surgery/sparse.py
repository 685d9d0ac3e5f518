"""A change of a weight at few of its positions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..devices import exact_device

MAX_NUMBERS = 2**31 - 1
"""Of one weight; positions are counted in 32 bits."""


@dataclass(frozen=True, eq=False)
class SparseChange:
    """What is added to a weight (d_out, d_in, ...) at strength 1, at some of its positions.

    Attributes:
        index: (n,) int32, positions in the flattened weight, rising.
        values: (n,) float32, or float64 if a difference rounded to float32 would not give the other weight back.
        size: (d_out, product of the other sizes).
    """

    index: Tensor
    values: Tensor
    size: tuple[int, int]

    def __post_init__(self) -> None:
        if self.index.ndim != 1 or self.index.shape != self.values.shape:
            raise ValueError(f"has {tuple(self.index.shape)} positions and {tuple(self.values.shape)} values")
        if self.size[0] * self.size[1] > MAX_NUMBERS:
            raise ValueError(f"is of a weight of {self.size} parameters; at most {MAX_NUMBERS} are supported")

    def __len__(self) -> int:
        return len(self.index)

    @property
    def shape(self) -> tuple[int, int]:
        """Of :meth:`dense`."""
        return self.size

    def checked(self) -> "SparseChange":
        """Itself. Raises ``ValueError`` for positions that are not in the weight or do not rise."""
        within = not len(self) or (int(self.index[0]) >= 0 and int(self.index[-1]) < self.size[0] * self.size[1])
        if not within or not bool((self.index[1:] > self.index[:-1]).all()):
            raise ValueError(f"has positions that do not rise within a weight of {self.size}")
        return self

    def dense(self) -> Tensor:
        """(d_out, d_in), zero elsewhere."""
        flat = self.values.new_zeros(self.size[0] * self.size[1])
        flat[self.index.long()] = self.values
        return flat.view(self.size)

    def added_to(self, weight: Tensor, strength: float) -> Tensor:
        """A copy of the weight with the change, summed at float64, in the weight's type and shape."""
        flat, index = weight.flatten().clone(), self.index.to(weight.device).long()
        where = exact_device(weight.device)
        summed = flat[index].to(where).double() + strength * self.values.to(where).double()
        flat[index] = summed.to(flat.dtype).to(weight.device)
        return flat.view(weight.shape)

    def pick(self, chosen: Tensor) -> "SparseChange":
        """The positions where ``chosen`` (n,) bool is true."""
        return replace(self, index=self.index[chosen], values=self.values[chosen])


def size_of(weight: Tensor) -> tuple[int, int]:
    """The size of changes of a weight: (d_out, product of the other sizes); (1, 1) for a single number."""
    return (1, 1) if weight.ndim == 0 else (weight.shape[0], weight.shape[1:].numel())


def difference(base: Tensor, tuned: Tensor) -> Tensor:
    """``tuned - base``, flat, at float32."""
    return (tuned.float() - base.float()).flatten()


def change_at(base: Tensor, tuned: Tensor, chosen: Tensor) -> SparseChange:
    """What leads from ``base`` to ``tuned`` where ``chosen`` (n,) bool is true, exactly.

    Two numbers near each other have a difference that float32 holds exactly. If one is not, all values of this
    weight are float64.
    """
    index = chosen.nonzero()[:, 0]
    before, after = (one.detach().flatten()[index].float() for one in (base, tuned))
    values = after - before
    exact = (before.double() + values.double()).float() == after
    if not bool(exact.all()):
        values = after.double() - before.double()
    return SparseChange(index.to(torch.int32).cpu(), values.cpu(), size_of(base))


def rows_of(change: SparseChange, first: int, count: int) -> SparseChange:
    """The part of a change in ``count`` rows from ``first`` on, as a change of these rows alone."""
    width = change.size[1]
    chosen = (change.index >= first * width) & (change.index < (first + count) * width)
    return SparseChange(change.index[chosen] - first * width, change.values[chosen], (count, width))


def in_rows(change: SparseChange, first: int, size: tuple[int, int]) -> SparseChange:
    """The change of a weight of ``size`` whose rows from ``first`` on change as these rows do."""
    return replace(change, index=change.index + first * change.size[1], size=size)


def together(changes: Sequence[SparseChange]) -> SparseChange:
    """Changes of one weight that share no position, as one."""
    index, order = torch.cat([one.index for one in changes]).sort()
    return replace(changes[0], index=index, values=torch.cat([one.values for one in changes])[order])


def shared_positions(one: SparseChange, other: SparseChange) -> tuple[Tensor, Tensor]:
    """Where two changes of one weight meet: masks (n,) over the positions of either, in the same order.

    Raises ``ValueError`` for changes of weights of two sizes.
    """
    if one.size != other.size:
        raise ValueError(f"two skills change one weight of the sizes {one.size} and {other.size}: their models differ")
    return _inside(one.index, other.index), _inside(other.index, one.index)


def _inside(index: Tensor, among: Tensor) -> Tensor:
    """(n,) bool: which of the rising positions are among others, which rise too."""
    if not len(among):
        return torch.zeros(len(index), dtype=torch.bool)
    at = torch.searchsorted(among, index).clamp(max=len(among) - 1)
    return among[at] == index
