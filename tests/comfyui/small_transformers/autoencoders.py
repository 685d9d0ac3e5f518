"""Small autoencoders with the latents of a family."""

from functools import cache
from typing import Any

import torch

from .denoisers import random_weight
from .sizes import DEV, SMALL


def vae(channels: int) -> Any:
    """A small autoencoder of so many latent channels."""
    import comfy.sd
    from comfy.taesd.taesd import TAESD

    made = TAESD(latent_channels=channels)
    generator = torch.Generator().manual_seed(4)
    state = {name: random_weight(name, old, generator) for name, old in made.state_dict().items()}
    scaled = state | {"vae_scale": torch.tensor(1.0), "vae_shift": torch.tensor(0.0)}
    return comfy.sd.VAE(sd=scaled, metadata={"tae_latent_channels": channels})


@cache
def vae_of(family: str) -> Any:
    """A small autoencoder with the latents of a family: films of one picture, or FLUX.2's cells of 16 pixels.

    Made once for all tests, as the MODELs are.
    """
    small = SMALL[family]
    if family in ("flux2", DEV):
        made = vae(small.channels // 4)
        plain = made.encode
        made.encode = lambda pixels: torch.nn.functional.pixel_unshuffle(plain(pixels), 2)
        made.spacial_compression_encode = lambda: 16
        return made
    made = vae(small.channels)
    if small.film:
        still = made.encode
        made.encode = lambda pixels: still(pixels).unsqueeze(2)
    return made
