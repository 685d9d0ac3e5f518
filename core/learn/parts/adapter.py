"""Low-rank changes of weights under training (LoRA, Hu et al., ICLR 2022, arXiv 2106.09685, section 4.1).

Methods that tune a model (Break-A-Scene, DisenDiff, AttenCraft) train whole matrices ``W``. Here each becomes
``W + up @ down`` with ``up`` starting at zero, so that training starts at the model itself and what is learnt can be
saved, stacked and switched off as an ordinary LoRA. Of rank ``min(d_out, d_in)`` it could say all that a whole matrix
says; it is still trained along other paths.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from ...backbone import AttentionWeight, Backbone
from ...messages import listed, shown
from ...types import LowRank

Layers = Literal["cross_value", "cross_key_value", "cross", "all", "text"]
"""Which weights are changed: values of the text alone, which leaves attention as it is for a given token; its keys and
values (Custom Diffusion); all of cross-attention; all attention. ``text``: the weights by which text enters, which are
the keys and values of cross-attention, and the text entry of models whose text and picture share their attention."""


class _Target(NamedTuple):
    """A weight that is to be changed; ``reads_text``: its input are encoded texts."""

    name: str
    shape: tuple[int, int]
    reads_text: bool


@dataclass(frozen=True, eq=False)
class AdapterBank:
    """Changes under training.

    Attributes:
        factors: weight name to up (d_out, r) and down (r, d_in), float32 leaves.
        untouched: weight name to a unit vector (d_in,) that its change shall map to zero.
    """

    factors: Mapping[str, LowRank]
    untouched: Mapping[str, Tensor]

    def parameters(self) -> list[Tensor]:
        """The tensors to optimise."""
        return [half for factor in self.factors.values() for half in (factor.up, factor.down)]

    def changes(self) -> dict[str, LowRank]:
        """What is in force, part of the graph: ``up @ down (I - c c^T)`` where a direction c is untouched."""
        return {name: LowRank(factor.up, self._free(name, factor.down)) for name, factor in self.factors.items()}

    def snapshot(self) -> dict[str, LowRank]:
        """Copies of :meth:`changes` on the CPU, free of the graph."""
        return {
            name: LowRank(change.up.detach().cpu().clone(), change.down.detach().cpu().clone())
            for name, change in self.changes().items()
        }

    @contextmanager
    def in_force(self, backbone: Backbone) -> Iterator[None]:
        """The backbone predicts with the changes inside the context; gradients reach them."""
        if not self.factors:
            yield
            return
        with backbone.adapted(self.changes()):
            yield

    def _free(self, name: str, down: Tensor) -> Tensor:
        fixed = self.untouched.get(name)
        return down if fixed is None else down - torch.outer(down @ fixed, fixed)  # (r, d_in), (r,) outer (d_in,)


def start_adapter(
    backbone: Backbone,
    rank: int,
    layers: Layers = "cross_key_value",
    *,
    keep_start: bool = True,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> AdapterBank:
    """Changes that change nothing yet: ``up`` zero, ``down`` normal with variance 1 / d_in.

    Args:
        backbone: gives the weights.
        rank: r of every change, cut to the weight's smaller side; 0 gives none.
        layers: which weights.
        keep_start: leave the key and value of the start-of-text token as they are. Custom Diffusion and those built
            on it stop gradients there, which still lets the token's key drift with the others'; here the change is
            made orthogonal to the token's encoding (the same in every text, where the encoder is causal). Models
            without a start token keep nothing.
        generator: the random source, on the CPU.
        device: where the factors shall live.

    Raises ``ValueError`` for a negative rank, and for a model without such weights of attention.
    """
    if rank < 0:
        raise ValueError(f"the rank of a change is 0 (none) or more, got {rank}")
    chosen = _targets(backbone, layers) if rank else []
    factors = {target.name: _zero(target.shape, rank, generator, device) for target in chosen}
    start = start_direction(backbone) if keep_start and rank else None
    if start is None:
        return AdapterBank(factors, {})
    reads = [target.name for target in chosen if target.reads_text and target.shape[1] == len(start)]
    return AdapterBank(factors, {name: start.to(device) for name in reads})


def _targets(backbone: Backbone, layers: Layers) -> list[_Target]:
    """The weights to change, in the order they run."""
    if layers == "text":
        entries = [(one.name, tuple(one.weight.shape), one.role) for one in backbone.key_value_weights()]
        return [_Target(name, (shape[0], shape[1]), role != "pooled") for name, shape, role in entries]
    chosen = choose_weights(backbone.attention_weights(), layers)
    return [_Target(one.name, one.shape, one.kind == "cross" and one.role in ("key", "value")) for one in chosen]


def choose_weights(weights: Sequence[AttentionWeight], layers: Layers) -> list[AttentionWeight]:
    """The weights of attention that ``layers`` names.

    Raises ``ValueError`` for another word, for ``text``, whose weights may lie outside of attention, and when there are
    none.
    """
    if layers not in get_args(Layers):
        raise ValueError(f"unknown layers {shown(layers)}, expected {listed(get_args(Layers))}")
    if layers == "text":
        raise ValueError("layers=text names the weights by which text enters, which may lie outside of attention")
    read = {"cross_value": ("value",), "cross_key_value": ("key", "value")}.get(
        layers, ("query", "key", "value", "out")
    )
    kinds = ("self", "cross", "joint") if layers == "all" else ("cross", "joint")
    chosen = [weight for weight in weights if weight.kind in kinds and weight.role in read]
    if not chosen:
        raise ValueError(f"the model has no attention weights of the kind {layers}")
    return chosen


@torch.no_grad()
def start_direction(backbone: Backbone) -> Tensor | None:
    """The direction (D,) of the encoded start-of-text token, of length 1; None for models without one."""
    start = backbone.tokenize("").start
    if start is None:
        return None
    encoded = backbone.encode_text([""]).context[0, start].float()  # (D,)
    return (encoded / encoded.norm()).clone()


def _zero(shape: tuple[int, int], rank: int, generator: torch.Generator, device: torch.device | str) -> LowRank:
    rows, columns = shape
    rank = min(rank, rows, columns)
    down = torch.randn(rank, columns, generator=generator) / columns**0.5  # (r, d_in)
    return LowRank(torch.zeros(rows, rank, device=device).requires_grad_(), down.to(device).requires_grad_())
