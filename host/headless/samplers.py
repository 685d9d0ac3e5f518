"""Steps from noise to picture (Karras et al. 2022, arXiv 2206.00364), as ComfyUI takes them.

A sampler takes ``denoise(x, sigma)``, which gives the clean latent it sees in ``x = clean + sigma * noise``, the start
``x`` (B, C, h, w), the falling noise levels (n + 1,), a generator for noise it adds, and ``report(step)``, called
after each step with the number of finished ones.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]
Report = Callable[[int], None]
Sampler = Callable[[Denoise, Tensor, Tensor, torch.Generator, Report], Tensor]


def euler(denoise: Denoise, x: Tensor, levels: Tensor, generator: torch.Generator, report: Report) -> Tensor:
    """Straight steps along the probability flow (algorithm 2 without churn); the same as deterministic DDIM."""
    for step, (sigma, following) in enumerate(pairwise(levels), 1):
        slope = (x - denoise(x, sigma)) / sigma
        x = x + slope * (following - sigma)
        report(step)
    return x


def euler_ancestral(denoise: Denoise, x: Tensor, levels: Tensor, generator: torch.Generator, report: Report) -> Tensor:
    """Steps below the next level, and fresh noise back up to it."""
    for step, (sigma, following) in enumerate(pairwise(levels), 1):
        clean = denoise(x, sigma)
        down, up = split_level(sigma, following)
        if down == 0:
            x = clean
        else:
            fresh = torch.randn(x.shape, generator=generator, dtype=x.dtype)
            x = x + (x - clean) / sigma * (down - sigma) + fresh * up
        report(step)
    return x


def split_level(sigma: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
    """The level to step down to and the noise to add, ``down**2 + up**2 = following**2``."""
    up = torch.minimum(following, (following**2 * (sigma**2 - following**2) / sigma**2).sqrt())
    return (following**2 - up**2).sqrt(), up


def flow_ancestral(denoise: Denoise, x: Tensor, levels: Tensor, generator: torch.Generator, report: Report) -> Tensor:
    """:func:`euler_ancestral` along a flow, whose picture loses weight as noise gains it."""
    for step, (sigma, following) in enumerate(pairwise(levels), 1):
        clean = denoise(x, sigma)
        down = following**2 / sigma
        x = down / sigma * x + (1 - down / sigma) * clean
        if following > 0:
            kept = (1 - following) / (1 - down)
            fresh = torch.randn(x.shape, generator=generator, dtype=x.dtype)
            x = kept * x + fresh * (following**2 - (down * kept) ** 2).clamp(min=0).sqrt()
        report(step)
    return x


SAMPLERS: Mapping[str, Sampler] = {"euler": euler, "euler_ancestral": euler_ancestral, "ddim": euler}

FLOW_SAMPLERS: Mapping[str, Sampler] = {"euler": euler, "euler_ancestral": flow_ancestral, "ddim": euler}
"""The same along a flow."""
