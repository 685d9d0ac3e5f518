"""The lab model as our headless host's MODEL, CLIP and VAE."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ...host.shared.handles import ClipHandle, ModelHandle, TextEncoder, VaeHandle
from .modules import LabModules, alphas_cumprod
from .transformer import load_transformer, transformer_alphas
from .vae import DOWNSCALE, SCALING_FACTOR
from .weights import WEIGHTS, load_lab_model

FAMILY, TRANSFORMER_FAMILY = "lab", "lab_flux"


def handles(modules: LabModules, embedding_folders: tuple[Path, ...] = ()) -> tuple[ModelHandle, ClipHandle, VaeHandle]:
    """MODEL, CLIP and VAE over modules."""
    model = ModelHandle(modules.unet, alphas_cumprod(), FAMILY, latent_downscale=DOWNSCALE)
    encoder = TextEncoder(modules.tokenizer, modules.text_encoder)
    clip = ClipHandle({"clip_l": encoder}, FAMILY, embedding_folders)
    return model, clip, VaeHandle(modules.vae, SCALING_FACTOR, DOWNSCALE)


def transformer_handles(
    transformer: Any, modules: LabModules, embedding_folders: tuple[Path, ...] = ()
) -> tuple[ModelHandle, ClipHandle, VaeHandle]:
    """MODEL, CLIP and VAE over a transformer and the other modules."""
    _, clip, vae = handles(modules, embedding_folders)
    model = ModelHandle(transformer, transformer_alphas(), TRANSFORMER_FAMILY, "flow", latent_downscale=DOWNSCALE)
    return model, replace(clip, family=TRANSFORMER_FAMILY), vae


def load_handles(
    folder: Path = WEIGHTS, embedding_folders: tuple[Path, ...] = (), denoiser: str = "unet"
) -> tuple[ModelHandle, ClipHandle, VaeHandle]:
    """MODEL, CLIP and VAE of the trained lab model, with the denoiser ``unet`` or ``transformer``; errors as for
    :func:`load_lab_model` and :func:`load_transformer`."""
    if denoiser == "transformer":
        return transformer_handles(load_transformer(folder), load_lab_model(folder), embedding_folders)
    return handles(load_lab_model(folder), embedding_folders)
