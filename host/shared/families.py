"""The model families that the pack supports: one record each, which adapters and messages read."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class ModelFamily:
    """What distinguishes the models of one family.

    Attributes:
        name: the family's name in metadata and files, stable.
        title: what people call it.
        latent_channels: C of its latents (B, C, h, w).
        latent_scale: factor from the autoencoder's latents to those that the denoiser reads.
        text_encoders: names of its text encoders, in the order in which their contexts are joined.
        text_entry: the weights by which text enters the denoiser, as closed-form erasing changes them.
        attention: the kinds of its attention sites.
        pooled_text: whether the denoiser also reads a pooled text and the picture's size.
    """

    name: str
    title: str
    latent_channels: int
    latent_scale: float
    text_encoders: tuple[str, ...]
    text_entry: tuple[str, ...] = ("attn2.to_k", "attn2.to_v")
    attention: tuple[str, ...] = ("self", "cross")
    pooled_text: bool = False


FAMILIES: Mapping[str, ModelFamily] = MappingProxyType(
    {
        family.name: family
        for family in (
            ModelFamily("sd15", "Stable Diffusion 1.x", 4, 0.18215, ("clip_l",)),
            ModelFamily("sd2", "Stable Diffusion 2.x", 4, 0.18215, ("clip_h",)),
            ModelFamily("sdxl", "Stable Diffusion XL", 4, 0.13025, ("clip_l", "clip_g"), pooled_text=True),
            ModelFamily("lab", "the lab model", 4, 0.18215, ("clip_l",)),
            ModelFamily(
                "lab_flux", "the lab transformer", 4, 0.18215, ("clip_l",), ("context_embedder",), attention=("joint",)
            ),
        )
    }
)
"""Family name to its record."""


def supported() -> str:
    """``supported are Stable Diffusion 1.x, ... and the lab model``, for messages."""
    *first, last = (family.title for family in FAMILIES.values())
    return f"supported are {', '.join(first)} and {last}"
