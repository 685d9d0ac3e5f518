"""diffusers' autoencoder behind the interface of :class:`~concept_atelier.host.shared.handles.Autoencoder`, and what an
autoencoder makes of pictures and of latents."""

from typing import Any

from torch import Tensor

from ..shared.handles import VaeHandle
from ..shared.picture_sizes import crop_to_multiple


class WrappedAutoencoderKL:
    """An ``AutoencoderKL`` that encodes to the posterior's mean; pictures in -1..1, unscaled latents."""

    def __init__(self, vae: Any) -> None:
        self.vae = vae

    @property
    def latent_channels(self) -> int:
        return int(self.vae.config.latent_channels)

    def encode(self, picture: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) to latents (B, C, h, w), on the picture's device and in its dtype."""
        moved = picture.to(self.vae.device, self.vae.dtype)
        return self.vae.encode(moved).latent_dist.mean.to(picture)

    def decode(self, latent: Tensor) -> Tensor:
        """Latents (B, C, h, w) to pictures (B, 3, H, W)."""
        moved = latent.to(self.vae.device, self.vae.dtype)
        return self.vae.decode(moved).sample.to(latent)


def latents_of(vae: VaeHandle, pictures: Tensor) -> Tensor:
    """Scaled latents (B, C, h, w) of pictures (B, 3, H, W) in 0..1, whose sides are cut to multiples of a cell."""
    cut = crop_to_multiple(pictures.float(), vae.latent_downscale)
    return vae.vae.encode(cut * 2 - 1) * vae.scaling_factor


def pictures_of(vae: VaeHandle, latents: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in 0..1 of scaled latents (B, C, h, w). Raises ``ValueError`` for latents of another shape
    than the autoencoder's."""
    channels = vae.vae.latent_channels
    if latents.ndim != 4 or latents.shape[1] != channels or not latents.numel():
        raise ValueError(
            f"the latent is {tuple(latents.shape)}, this VAE reads (pictures, {channels}, h, w): it comes from another "
            "model; connect the VAE of the model that was sampled"
        )
    return (vae.vae.decode(latents / vae.scaling_factor) / 2 + 0.5).clamp(0, 1)
