"""What the figures of cost are measured on: a model on a host, and the plain computations they are compared with."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ...core.backbone import Placeholders

TEXT = "a photo of a cat and a rocket on blue"


@dataclass(frozen=True)
class Shape:
    """A model to measure on.

    Attributes:
        name: as on the command line.
        side: pixels of its pictures.
        localize: preset of Localize Concepts.
        learn: preset of Learn Concept Tokens.
        erase: preset of Erase Concepts.
        transformer: whether it is a transformer with few of its blocks, on which nothing but sampling is measured.
    """

    name: str
    side: int
    localize: str = ""
    learn: str = ""
    erase: str = ""
    transformer: bool = False


SHAPES = {
    "lab": Shape("lab", 128, "small", "small", "small"),
    "sd15": Shape("sd15", 512, "paper", "paper", "paper"),
    "z_image": Shape("z_image", 512, transformer=True),
    "flux2_klein": Shape("flux2_klein", 512, transformer=True),
}


class Ground(Protocol):
    """A host with one model in it."""

    host: str
    model: Any
    clip: Any
    vae: Any

    def sample(self, model: Any, side: int, steps: int) -> Any:
        """A sampling run of the stock sampler on ``model``, without guidance."""
        ...

    def forward(self, latent: Tensor) -> Any:
        """One pass of the denoiser alone, as the host runs it, nothing of ours attached."""
        ...

    def forward_backward(self, latent: Tensor, texts: Sequence[str], placeholders: Placeholders) -> Any:
        """Text encoder and denoiser forward, and backward to the placeholders' vectors; nothing of ours attached."""
        ...


def leaves(placeholders: Placeholders) -> tuple[Placeholders, list[Tensor]]:
    """The placeholders as fresh vectors that gradients are taken of, and those vectors."""
    fresh = {
        name: {encoder: rows.detach().clone().requires_grad_() for encoder, rows in vectors.items()}
        for name, vectors in placeholders.items()
    }
    return fresh, [rows for vectors in fresh.values() for rows in vectors.values()]


def gradients(predicted: Tensor, vectors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Of the mean square of a prediction."""
    return torch.autograd.grad(predicted.square().mean(), list(vectors))


def plain_copy(module: nn.Module) -> nn.Module:
    """A copy over the same memory, its weights constants that autograd may save even if made under inference mode."""
    shared: dict[int, Any] = {id(weight): nn.Parameter(_same_memory(weight), False) for weight in module.parameters()}
    buffers = {id(buffer): _same_memory(buffer) for buffer in module.buffers()}
    return copy.deepcopy(module, {**shared, **buffers})


def _same_memory(tensor: Tensor) -> Tensor:
    return torch.from_numpy(tensor.detach().numpy())


def made_up_words(count: int) -> Iterator[str]:
    """Different made-up words of two syllables, at most 3600."""
    syllables = [a + b for a, b in product("bdfgklmnprst", "aeiou")]
    words = (f"{one}{two}" for one, two in product(syllables, syllables))
    for _ in range(count):
        yield next(words)
