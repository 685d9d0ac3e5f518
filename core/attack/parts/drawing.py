"""Pictures that a model draws of prompts, some at a time."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...backbone import Backbone, Placeholders
from ...sampling import ddim, encode_each
from .settings import AttackSettings

OnPasses = Callable[[int], None]
"""Called with the number of model passes just made, counted by pictures; may raise, to stop."""


def latent_size(backbone: Backbone, settings: AttackSettings) -> tuple[int, int]:
    """(h, w) of the latents of pictures."""
    cells = max(1, settings.side // backbone.latent_downscale)
    return cells, cells


def channels_of(backbone: Backbone) -> int:
    """Channels of the latents."""
    side = backbone.latent_downscale
    return backbone.encode_image(torch.zeros(1, 3, side, side)).shape[1]


@torch.no_grad()
def draw(
    backbone: Backbone,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: AttackSettings,
    on_passes: OnPasses,
    placeholders: Placeholders | None = None,
) -> Tensor:
    """A picture (B, 3, H, W) in 0..1, on the CPU, of each prompt from the noise of its seed."""
    negative, channels, parts = backbone.encode_text([""]), channels_of(backbone), []
    for at in range(0, len(prompts), settings.batch):
        texts = list(prompts[at : at + settings.batch])
        latent = ddim(
            backbone,
            encode_each(backbone, texts, placeholders),
            negative,
            latent_size(backbone, settings),
            channels=channels,
            steps=settings.steps,
            guidance=settings.guidance,
            seed=list(seeds[at : at + len(texts)]),
            on_step=_counted(on_passes, 2 * len(texts)),
        )
        parts.append(decoded(backbone, latent))
    return torch.cat(parts)


def decoded(backbone: Backbone, latent: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in 0..1 of scaled latents, on the CPU."""
    return backbone.decode_latent(latent).float().clamp(0, 1).cpu()


def _counted(on_passes: OnPasses, passes: int) -> Callable[[int, int], None]:
    return lambda step, total: on_passes(passes)
