"""The noise that a sampling run starts from, and the latent with it."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...core.messages import shown
from ..shared.handles import ModelHandle

Latent = Mapping[str, Any]
"""ComfyUI's LATENT: ``samples`` (B, C, h, w), unscaled, and perhaps ``batch_index``."""

SEEDS = 2**64
MAX_INDEX = 65535
"""Of ``batch_index``: every draw up to the greatest is made."""


def prepare_noise(latent: Latent, seed: int) -> Tensor:
    """The noise that ComfyUI starts from: one draw for the whole batch, or, with ``batch_index``, the draws of those
    indices. Raises ``ValueError`` for a seed out of range."""
    if not 0 <= seed < SEEDS:
        raise ValueError(f"seeds are 0..2**64 - 1, got {seed}")
    samples = latent["samples"]
    generator = torch.Generator().manual_seed(seed)
    if latent.get("batch_index") is None:
        return torch.randn(samples.shape, generator=generator, dtype=torch.float32)
    indices = [int(index) for index in latent["batch_index"]]
    if len(indices) != len(samples) or min(indices) < 0 or max(indices) > MAX_INDEX:
        raise ValueError(
            f"batch_index is {shown(indices)}, expected a number of 0..{MAX_INDEX} for each of {len(samples)} latents"
        )
    draws = [torch.randn(samples.shape[1:], generator=generator) for _ in range(max(indices) + 1)]
    return torch.stack([draws[index] for index in indices])


def start_latent(clean: Tensor, noise: Tensor, sigma: Tensor, noisiest: Tensor) -> Tensor:
    """``clean + sigma * noise``; from the table's noisiest level the noise has the variance of a whole latent."""
    full = float(sigma) > float(noisiest) or math.isclose(float(sigma), float(noisiest), rel_tol=1e-5)
    return clean + noise * ((1 + sigma**2) ** 0.5 if full else sigma)


def start_samples(latent: Latent, model: ModelHandle) -> Tensor:
    """The samples as float32. Raises ``ValueError`` when the model cannot start from them."""
    samples, channels = latent["samples"], model.unet.config.in_channels
    if samples.ndim != 4 or samples.shape[1] != channels or 0 in samples.shape:
        raise ValueError(f"the latent is {tuple(samples.shape)}; this model needs (B, {channels}, h, w)")
    if latent.get("noise_mask") is not None:
        raise ValueError("the latent has a noise mask; the headless sampler does not inpaint")
    if not bool(torch.isfinite(samples).all()):
        raise ValueError("the latent has values that are not finite numbers; check what made it")
    return samples.detach().float()
