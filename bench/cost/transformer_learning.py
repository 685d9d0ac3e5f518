"""What a step of learning holds in memory on transformers of real widths, ``save_memory`` off and on.

A few blocks of ComfyUI's own classes are run at random weights, and the whole is calculated from them: blocks of one
kind hold the same, and the memory at the peak grows by what a block holds for the backward pass.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...core.backbone import Conditioning
from ...host.adapters import at_work, backbone_of
from .ground import Shape
from .meters import interleaved, megabytes, memory_of, ratios
from .settings import CostSettings
from .transformers import TEXT_ROWS, TransformerGround

CHOICES = ("off", "on")


def learning_memory(ground: TransformerGround, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """One row forward and backward to the text, ``save_memory`` off (``plain``) and on (``ours``).

    Weights are not counted: they are in memory before. ``whole`` has the memory at the peak of the whole model.
    """
    with torch.inference_mode(False):
        context = torch.randn(1, TEXT_ROWS, ground.width.text, generator=torch.Generator().manual_seed(1))
        cells = shape.side // ground.width.cell
        latent = torch.randn(1, ground.width.channels, cells, cells, generator=torch.Generator().manual_seed(0))
        # first, so that the model is loaded when memory is followed
        gradients = {choice: _gradient(ground, latent, context, choice) for choice in CHOICES}
        peaks = {
            choice: memory_of(lambda choice=choice: _gradient(ground, latent, context, choice)).peak
            for choice in CHOICES
        }
        held = {choice: _held_by_blocks(ground, latent, context, choice) for choice in CHOICES}
        off, on = (lambda choice=choice: _gradient(ground, latent, context, choice) for choice in CHOICES)
        times = ratios(*interleaved(off, on, settings.repetitions))
    return times | {
        "text_rows": TEXT_ROWS,
        "plain_peak_mb": megabytes(peaks["off"]),
        "ours_peak_mb": megabytes(peaks["on"]),
        "held_mb": {kind: {choice: megabytes(held[choice][kind]) for choice in CHOICES} for kind in ground.width.whole},
        "whole_mb": {choice: megabytes(_whole(ground, peaks[choice], held[choice])) for choice in CHOICES},
        "largest_difference": float((gradients["off"] - gradients["on"]).abs().max()),
    }


def _gradient(ground: TransformerGround, latent: Tensor, context: Tensor, choice: str) -> Tensor:
    """Of the mean square of the prediction, with respect to the context (1, L, D)."""
    with torch.enable_grad(), at_work(backbone_of(ground.model)) as backbone:
        text = context.detach().clone().requires_grad_()
        predicted = _predicted(backbone, latent, text, choice)
        found: Tensor = torch.autograd.grad(predicted.square().mean(), text)[0]
    return found


def _predicted(backbone: Any, latent: Tensor, text: Tensor, choice: str) -> Tensor:
    backbone.recomputation.choice = choice
    predicted: Tensor = backbone.predict_target(latent, torch.full((1,), 500), Conditioning(text, {}))
    return predicted


def _held_by_blocks(ground: TransformerGround, latent: Tensor, context: Tensor, choice: str) -> dict[str, int]:
    """Of each kind, the bytes that one block holds after the forward pass: what a pass with one block less lacks."""
    everything = _kept(ground, latent, context, choice)
    found = {}
    for kind in ground.width.whole:
        with _one_block_less(ground.denoiser, kind):
            found[kind] = everything - _kept(ground, latent, context, choice)
    return found


def _kept(ground: TransformerGround, latent: Tensor, context: Tensor, choice: str) -> int:
    """Bytes that a prediction holds for its backward pass."""
    predictions: list[Tensor] = []
    with torch.enable_grad(), at_work(backbone_of(ground.model)) as backbone:
        text = context.detach().clone().requires_grad_()
        _predicted(backbone, latent, text, choice)  # loads the model first
        return memory_of(lambda: predictions.append(_predicted(backbone, latent, text, choice))).kept


@contextmanager
def _one_block_less(denoiser: nn.Module, kind: str) -> Iterator[None]:
    """Within the context a denoiser runs without the last block of a kind."""
    blocks = getattr(denoiser, kind)
    setattr(denoiser, kind, blocks[:-1])
    try:
        yield
    finally:
        setattr(denoiser, kind, blocks)


def _whole(ground: TransformerGround, peak: int, held: Mapping[str, int]) -> int:
    """The peak of the whole model: that of the blocks that were run, and what the other blocks hold."""
    missing = {kind: number - len(getattr(ground.denoiser, kind)) for kind, (number, _) in ground.width.whole.items()}
    return peak + sum(missing[kind] * held[kind] for kind in missing)
