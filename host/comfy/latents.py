"""Pictures to the latents that a model of ComfyUI reads, and back."""

from typing import Any

from torch import Tensor

from ..shared.families import ModelFamily
from ..shared.picture_sizes import crop_to_multiple


def without_frames(latent: Tensor) -> Tensor:
    """(B, C, h, w) of a latent, also where the model's latents are films (B, C, 1, h, w) of one picture."""
    return latent[:, :, 0] if latent.ndim == 5 and latent.shape[2] == 1 else latent


def reads_frames(model: Any) -> bool:
    """Whether the latents of a MODEL have frames (B, C, frames, h, w), as those of video models."""
    return int(getattr(model.model.latent_format, "latent_dimensions", 2)) == 3


def encode_picture(model: Any, vae: Any, family: ModelFamily, image: Tensor, cell: int, channels: int) -> Tensor:
    """Pictures (B, 3, H, W) in 0..1 to scaled latents (B, C, h, w) on the device of the MODEL.

    Args:
        model, vae: MODEL and VAE.
        family: of the MODEL.
        image: cropped to whole cells.
        cell: pixels per latent cell along a side.
        channels: C that the MODEL reads. ``ValueError`` for a VAE that makes others.
    """
    latent = vae.encode(crop_to_multiple(image, cell).movedim(1, -1))
    if latent.shape[1] != channels:
        raise ValueError(
            f"the VAE makes latents {tuple(latent.shape)}, {family.title} reads {channels} "
            "channels; connect the VAE of the same checkpoint"
        )
    scaled = model.model.process_latent_in(latent.float()).to(model.load_device)
    return scaled[:, :, 0] if scaled.ndim == 5 else scaled  # of the one picture of a film


def decode_latent(model: Any, vae: Any, latent: Tensor) -> Tensor:
    """Scaled latents (B, C, h, w) to pictures (B, 3, H, W) in 0..1."""
    latent = latent.unsqueeze(2) if reads_frames(model) else latent
    picture = vae.decode(model.model.process_latent_out(latent.float()))
    picture = picture[:, 0] if picture.ndim == 5 else picture
    return picture.movedim(-1, 1).clamp(0, 1).to(latent.device)
