"""Differences of text encoder weights under training, which start at zero: whole ones, or of low rank."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from ...backbone import Backbone, Conditioning, TextWeight
from ...types import Change, FullChange, LowRank

Weights = Literal["mlp", "attention", "mlp_and_last_attention", "all"]
"""Weights of text encoders: the feed-forward ones of every layer, those of attention, the former with the attention of
the last layer that the denoiser reads, or all of both."""
WEIGHTS: tuple[str, ...] = get_args(Weights)


@dataclass(frozen=True, eq=False)
class TextBank:
    """Differences under training.

    Attributes:
        leaves: text encoder to weight name to its change; (d_out, d_in), or (d_out, 1) for a bias; float32 leaves.
    """

    leaves: Mapping[str, Mapping[str, Change]]

    def parameters(self) -> list[Tensor]:
        """The tensors to optimise."""
        return [leaf for of in self.leaves.values() for change in of.values() for leaf in _parts(change)]

    def changes(self) -> dict[str, dict[str, Change]]:
        """What is in force, part of the graph."""
        return {encoder: dict(of) for encoder, of in self.leaves.items()}

    def snapshot(self, values: list[Tensor] | None = None) -> dict[str, dict[str, Change]]:
        """Copies on the CPU, free of the graph; of other ``values`` of :meth:`parameters` where these are given."""
        taken = iter(self.parameters() if values is None else values)

        def copy(change: Change) -> Change:
            return type(change)(*(next(taken).detach().cpu().clone() for _ in _parts(change)))

        return {encoder: {name: copy(change) for name, change in of.items()} for encoder, of in self.leaves.items()}


def layer_of(weight: TextWeight) -> int:
    """The number of the layer that a weight belongs to, from 0."""
    return int(weight.name.split(".")[2])


def last_layers(backbone: Backbone) -> dict[str, int]:
    """Text encoder to the number of its last layer. Raises ``ValueError`` for a model without CLIP text encoders."""
    found: dict[str, int] = {}
    for weight in backbone.text_weights():
        found[weight.encoder] = max(found.get(weight.encoder, 0), layer_of(weight))
    if not found:
        raise ValueError(
            "the prompts of this model are not read by CLIP text encoders alone, and only those can be changed; choose "
            "another method, or connect a model of SD1.x, SD2.x or SDXL"
        )
    return found


def last_read_layers(backbone: Backbone) -> dict[str, int]:
    """Text encoder to the number of the last layer that the denoiser reads anything of.

    SD2 and SDXL read the states before the last layer, and SDXL alone the pooled text beside them. What reaches the
    conditioning is found by its gradients.

    Raises as :func:`last_layers` does.
    """
    last_layers(backbone)
    with torch.inference_mode(False), torch.enable_grad():
        bank = start_text_bank(backbone, lambda weight: weight.name.endswith("mlp.fc2.bias"))
        with backbone.text_changed(bank.changes()):
            encoded = backbone.encode_text([""])
        read = [tensor for tensor in read_of(backbone, encoded) if tensor.requires_grad]
        total = torch.stack([tensor.float().sum() for tensor in read]).sum()
        gradients = iter(torch.autograd.grad(total, bank.parameters(), allow_unused=True))
    found: dict[str, int] = {}
    for encoder, of in bank.leaves.items():
        for name in of:
            if next(gradients) is not None:
                found[encoder] = max(found.get(encoder, 0), int(name.split(".")[2]))
    return found


def read_of(backbone: Backbone, encoded: Conditioning) -> list[Tensor]:
    """What the denoiser reads of encoded texts: (B, L, D), and the pooled texts (B, d) if it reads these."""
    pooled = encoded.extras.get("pooled_output") if backbone.reads_pooled else None
    return [encoded.context] if pooled is None else [encoded.context, pooled]


def start_text_bank(
    backbone: Backbone,
    wanted: Callable[[TextWeight], bool],
    rank: int = 0,
    generator: torch.Generator | None = None,
) -> TextBank:
    """Changes that change nothing yet for the weights that are wanted, where the weights live.

    Args:
        backbone: gives the weights.
        wanted: which of them.
        rank: of the changes, cut to the weight's smaller side, ``up`` at zero and ``down`` normal with variance
            1 / d_in; 0 takes whole differences at zero. Biases are left alone above 0, since LoRA files of a low rank
            have none.
        generator: the random source of ``down``, on the CPU.
    """
    leaves: dict[str, dict[str, Change]] = {}
    for weight in backbone.text_weights():
        if wanted(weight) and not (rank and weight.weight.ndim == 1):
            leaves.setdefault(weight.encoder, {})[weight.name] = _zero(weight.weight, rank, generator)
    return TextBank(leaves)


def _zero(weight: Tensor, rank: int, generator: torch.Generator | None) -> Change:
    rows, columns = weight.shape[0], weight.shape[1:].numel()
    if not rank:
        return FullChange(torch.zeros(rows, columns, device=weight.device).requires_grad_())
    rank = min(rank, rows, columns)
    down = torch.randn(rank, columns, generator=generator) / columns**0.5  # (r, d_in)
    up = torch.zeros(rows, rank, device=weight.device)
    return LowRank(up.requires_grad_(), down.to(weight.device).requires_grad_())


def _parts(change: Change) -> tuple[Tensor, ...]:
    return (change.up, change.down) if isinstance(change, LowRank) else (change.change,)


def chosen_weights(backbone: Backbone, weights: Weights) -> Callable[[TextWeight], bool]:
    """Which weights of text encoders are changed, as far as the denoiser reads what they do."""
    last = last_read_layers(backbone)

    def wanted(weight: TextWeight) -> bool:
        layer, feeds = layer_of(weight), ".mlp." in weight.name
        if layer > last.get(weight.encoder, -1):
            return False
        if feeds:
            return weights != "attention"
        return weights in ("attention", "all") or (
            weights == "mlp_and_last_attention" and layer == last[weight.encoder]
        )

    return wanted
