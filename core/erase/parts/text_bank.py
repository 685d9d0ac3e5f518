"""Whole differences of text encoder weights under training, which start at zero."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...backbone import Backbone, TextWeight
from ...types import Change, FullChange


@dataclass(frozen=True, eq=False)
class TextBank:
    """Differences under training.

    Attributes:
        leaves: text encoder to weight name to (d_out, d_in), or (d_out, 1) for a bias; float32 leaves.
    """

    leaves: Mapping[str, Mapping[str, Tensor]]

    def parameters(self) -> list[Tensor]:
        """The tensors to optimise."""
        return [leaf for of in self.leaves.values() for leaf in of.values()]

    def changes(self) -> dict[str, dict[str, Change]]:
        """What is in force, part of the graph."""
        return {encoder: {name: FullChange(leaf) for name, leaf in of.items()} for encoder, of in self.leaves.items()}

    def snapshot(self) -> dict[str, dict[str, Change]]:
        """Copies on the CPU, free of the graph."""
        return {
            encoder: {name: FullChange(leaf.detach().cpu().clone()) for name, leaf in of.items()}
            for encoder, of in self.leaves.items()
        }


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


def start_text_bank(backbone: Backbone, wanted: Callable[[TextWeight], bool]) -> TextBank:
    """Zeros for the weights that are wanted, on the CPU's side of the optimiser: where the weights live."""
    leaves: dict[str, dict[str, Tensor]] = {}
    for weight in backbone.text_weights():
        if wanted(weight):
            size = weight.weight.shape[0], weight.weight.shape[1:].numel()
            zeros = torch.zeros(size, device=weight.weight.device).requires_grad_()
            leaves.setdefault(weight.encoder, {})[weight.name] = zeros
    return TextBank(leaves)
