"""diffusers' autoencoder behind the interface of :class:`~concept_atelier.host.shared.handles.Autoencoder`."""

from typing import Any

from torch import Tensor


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
