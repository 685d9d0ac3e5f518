"""Changes of one weight, in the ways in which LoRA files describe them.

LoRA: Hu et al., arXiv 2106.09685. LoHa: Hyeon-Woo et al., arXiv 2108.06098. LoKr and all of them for convolutions:
Yeh et al. (LyCORIS), arXiv 2309.14859. DoRA: Liu et al., arXiv 2402.09353. What is left open there is done as ComfyUI
does it, since that is what files are made for.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .types import FullChange, LowRank

LORA_PAIRS = {
    ".lora_up.weight": ".lora_down.weight",
    "_lora.up.weight": "_lora.down.weight",
    ".lora.up.weight": ".lora.down.weight",
    ".lora_linear_layer.up.weight": ".lora_linear_layer.down.weight",
    ".lora_B.weight": ".lora_A.weight",
    ".lora_B.default.weight": ".lora_A.default.weight",
    ".lora_B": ".lora_A",
}
"""How files end the keys of the two factors of a LoRA, ``up`` to ``down``."""


class WeightChange(Protocol):
    """What is added to a weight (d_out, d_in, ...) at strength 1."""

    @property
    def shape(self) -> tuple[int, int]:
        """Of :meth:`dense`."""
        ...

    def dense(self) -> Tensor:
        """(d_out, all other sizes multiplied)."""
        ...


@dataclass(frozen=True, eq=False)
class Hadamard:
    """LoHa: two low-rank matrices (d_out, d_in), multiplied entry by entry."""

    first: LowRank
    second: LowRank

    def __post_init__(self) -> None:
        if self.first.shape != self.second.shape:
            raise ValueError(f"has two matrices {self.first.shape} and {self.second.shape}, which must be of one size")

    @property
    def shape(self) -> tuple[int, int]:
        return self.first.shape

    def dense(self) -> Tensor:
        return self.first.dense() * self.second.dense()


@dataclass(frozen=True, eq=False)
class Kronecker:
    """LoKr: ``first`` (a, b) with every entry replaced by its product with ``second`` (c, d) or (c, d, k, k)."""

    first: Tensor
    second: Tensor

    def __post_init__(self) -> None:
        if self.first.ndim != 2 or self.second.ndim < 2:
            raise ValueError(
                f"has two factors {tuple(self.first.shape)} and {tuple(self.second.shape)}; expected (a, b)"
            )

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.first.shape
        return rows * self.second.shape[0], columns * self.second.shape[1:].numel()

    def dense(self) -> Tensor:
        first = self.first.reshape(*self.first.shape, *[1] * (self.second.ndim - 2))  # (a, b, 1, ...)
        return torch.kron(first, self.second.contiguous()).flatten(1)  # (a*c, b*d*k*k)


def whole(change: Tensor) -> FullChange:
    """A difference as it is, of a weight (d_out, ...) or a bias (d_out,). ``ValueError`` for a single number."""
    if not change.ndim:
        raise ValueError("has a difference that is a single number; expected one of a weight or a bias")
    return FullChange(change.reshape(change.shape[0], change.shape[1:].numel()))


def low_rank(up: Tensor, down: Tensor, scale: float = 1.0, middle: Tensor | None = None) -> LowRank:
    """``scale * up @ down``, all at float32.

    Args:
        up: (d_out, r), or (d_out, r, 1, 1).
        down: (r, d_in), or (r, d_in, k, k).
        scale: ``alpha / r``.
        middle: (r, r, k, k) between the two, for a ``down`` of (r, d_in) (Tucker's form of a convolution).

    Raises ``ValueError`` for parts that do not fit each other.
    """
    if min(up.ndim, down.ndim) < 2:
        raise ValueError(f"has factors up {tuple(up.shape)} and down {tuple(down.shape)}; expected two sizes or more")
    flat = down.float().flatten(1)  # (r, d_in*k*k)
    if middle is not None:
        if middle.ndim != 4 or middle.shape[1] != len(flat):
            raise ValueError(f"has a middle {tuple(middle.shape)} that does not fit down {tuple(down.shape)}")
        flat = torch.einsum("nmkl,mj->njkl", middle.float(), flat).flatten(1)  # (r, d_in*k*k)
    return LowRank(up.float().flatten(1) * scale, flat).checked()


def decomposed(weight: Tensor, change: Tensor, magnitude: Tensor) -> Tensor:
    """DoRA: the changed weight, its rows or columns scaled to lengths that were learnt.

    Args:
        weight: (d_out, d_in, ...), before the change.
        change: of the same shape.
        magnitude: (d_out, 1, ...), a length for each output, measured on ``weight`` as ComfyUI does; or (1, d_in, ...),
            one for each input, measured on the changed weight.
    """
    changed = weight + change  # (d_out, d_in, ...)
    if magnitude.shape[0] == weight.shape[0]:
        length = weight.flatten(1).norm(dim=1)  # (d_out,)
        length = length.reshape(-1, *[1] * (weight.ndim - 1))  # (d_out, 1, ...)
    else:
        length = changed.transpose(0, 1).flatten(1).norm(dim=1)  # (d_in,)
        length = length.reshape(1, -1, *[1] * (weight.ndim - 2))  # (1, d_in, 1, ...)
    return changed * (magnitude / (length + torch.finfo(weight.dtype).eps))
