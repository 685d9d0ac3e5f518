"""Diffusion transformers of ComfyUI's own classes, tiny and at random weights, as MODEL, CLIP and VAE.

For tests inside ComfyUI: everything of ``comfy`` is imported when a model is built.
"""

from .autoencoders import vae, vae_of
from .denoisers import build, conditioning, here, latent, query_weight
from .encoders import LEARNING, reading_clip
from .sizes import DEEP, DEV, SMALL
from .tokenizers import clip, mistral_here

__all__ = [
    "DEEP",
    "DEV",
    "LEARNING",
    "SMALL",
    "build",
    "clip",
    "conditioning",
    "here",
    "latent",
    "mistral_here",
    "query_weight",
    "reading_clip",
    "vae",
    "vae_of",
]
