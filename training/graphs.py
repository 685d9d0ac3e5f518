"""Passes of the denoiser recorded as CUDA graphs, so that a fast GPU does not wait for Python with a small model."""

import logging
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

log = logging.getLogger("concept_atelier.lab")

Denoise = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Noisy latents (B, 4, h, w), timesteps (B,) and contexts (B, 77, width) to the predicted noise."""

TOLERANCE = 0.1
"""Largest relative difference between gradients of a recorded and an eager pass, both of which round to 16 bits."""


class EagerDenoise(nn.Module):
    """The denoiser's prediction as a tensor."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, noisy: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
        """As :data:`Denoise`."""
        predicted: Tensor = self.unet(noisy, timestep, context).sample
        return predicted


def recorded(unet: nn.Module, shapes: Sequence[tuple[int, ...]], width: int, bfloat16: bool) -> list[Denoise]:
    """A pass for latents of each shape (B, 4, h, w), recorded where that works and gives the same gradients.

    Args:
        width: of contexts.
        bfloat16: whether passes run under autocast.
    """
    return [_recorded(unet, shape, width, bfloat16) for shape in shapes]


def _recorded(unet: nn.Module, shape: tuple[int, ...], width: int, bfloat16: bool) -> Denoise:
    eager, example = EagerDenoise(unet), random_inputs(unet, shape, width)
    try:
        with torch.autocast("cuda", torch.bfloat16, enabled=bfloat16, cache_enabled=False):
            made = torch.cuda.make_graphed_callables(EagerDenoise(unet), example, allow_unused_input=True)
            graph = cast(Denoise, made)
    except RuntimeError as error:
        log.info("latents of %s are trained on without a graph: %s", shape, str(error).splitlines()[0])
        torch.cuda.synchronize()
        return eager
    gap = gradient_gap(unet, eager, graph, random_inputs(unet, shape, width), bfloat16)
    log.info("latents of %s: gradients of graph and eager pass differ by %.4f", shape, gap)
    return graph if gap < TOLERANCE else eager


def random_inputs(unet: nn.Module, shape: tuple[int, ...], width: int) -> tuple[Tensor, Tensor, Tensor]:
    device = next(unet.parameters()).device
    noisy = torch.randn(shape, device=device).to(memory_format=torch.channels_last)
    timestep = torch.randint(0, 1000, shape[:1], device=device)
    return noisy, timestep, torch.randn(shape[0], 77, width, device=device, requires_grad=True)


def gradient_gap(
    unet: nn.Module, eager: Denoise, graph: Denoise, example: tuple[Tensor, Tensor, Tensor], bfloat16: bool
) -> float:
    """Norm of the difference of two passes' gradients over the norm of the first's; not finite where one is not."""
    device = example[0].device.type
    parameters = [*unet.parameters(), example[2]]
    gradients = []
    for denoise in (eager, graph):
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16, cache_enabled=False):
            loss = (denoise(*example).float() - example[0]).square().mean()
        found = torch.autograd.grad(loss, parameters)
        gradients.append(torch.cat([g.detach().float().flatten().clone() for g in found]))
    return float((gradients[0] - gradients[1]).norm() / gradients[0].norm())
