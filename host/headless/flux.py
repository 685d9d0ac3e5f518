"""diffusers' ``FluxTransformer2DModel`` called with latents and noise levels, as ComfyUI calls its own class."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..shared.weight_patches import call_with


def velocity(
    transformer: Any,
    latent: Tensor,
    level: Tensor,
    context: Tensor,
    tensors: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """What the model predicts: ``noise - clean``.

    Args:
        transformer: of patch size 1; its pooled text is left at zeros.
        latent: (B, C, h, w) with noise.
        level: (B,) share of noise, 0..1.
        context: (B, L, D) text.
        tensors: what replaces tensors of the model in this call, by name.

    Returns:
        (B, C, h, w).
    """
    batch, _, height, width = latent.shape
    pooled = latent.new_zeros(batch, transformer.config.pooled_projection_dim)
    rows = call_with(
        transformer,
        dict(tensors or {}),
        latent.flatten(2).transpose(1, 2),  # (B, h * w, C)
        encoder_hidden_states=context,
        pooled_projections=pooled,
        timestep=level,
        img_ids=picture_positions(height, width, latent.device),
        txt_ids=latent.new_zeros(context.shape[1], 3),
        return_dict=False,
    )[0]
    return rows.transpose(1, 2).unflatten(2, (height, width))


def picture_positions(height: int, width: int, device: torch.device) -> Tensor:
    """(h * w, 3) positions (0, row, column) in reading order; text rows all stand at (0, 0, 0)."""
    rows = torch.arange(height, device=device, dtype=torch.float32)
    columns = torch.arange(width, device=device, dtype=torch.float32)
    grid = torch.cartesian_prod(rows, columns)  # (h * w, 2)
    return torch.nn.functional.pad(grid, (1, 0))
