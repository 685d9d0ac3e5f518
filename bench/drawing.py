"""Pictures drawn by the model under test, the same way in every bench."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..core.backbone import Backbone, Conditioning, Placeholders
from ..core.sampling import ddim

STEPS, GUIDANCE, SIDE = 12, 3.5, 128


@torch.no_grad()
def draw(
    backbone: Backbone,
    prompts: Sequence[str],
    seed: int | Sequence[int],
    placeholders: Placeholders | None = None,
    guidance: float = GUIDANCE,
) -> Tensor:
    """One picture a prompt, (B, 3, 128, 128) in 0..1; same prompts and seed (or seeds, one each), same noise."""
    positive = backbone.encode_text(list(prompts), placeholders)
    cell = SIDE // backbone.latent_downscale
    latent = ddim(backbone, positive, unconditional(backbone), (cell, cell), steps=STEPS, guidance=guidance, seed=seed)
    return backbone.decode_latent(latent).clamp(0, 1)


def unconditional(backbone: Backbone) -> Conditioning:
    """The empty prompt."""
    return backbone.encode_text([""])
