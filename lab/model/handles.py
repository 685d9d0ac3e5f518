"""The lab model as our headless host's MODEL, CLIP and VAE."""

from pathlib import Path

from ...host.shared.handles import ClipHandle, ModelHandle, TextEncoder, VaeHandle
from .modules import LabModules, alphas_cumprod
from .vae import DOWNSCALE, SCALING_FACTOR
from .weights import WEIGHTS, load_lab_model

FAMILY = "lab"


def handles(modules: LabModules, embedding_folders: tuple[Path, ...] = ()) -> tuple[ModelHandle, ClipHandle, VaeHandle]:
    """MODEL, CLIP and VAE over modules."""
    model = ModelHandle(modules.unet, alphas_cumprod(), FAMILY, latent_downscale=DOWNSCALE)
    encoder = TextEncoder(modules.tokenizer, modules.text_encoder)
    clip = ClipHandle({"clip_l": encoder}, FAMILY, embedding_folders)
    return model, clip, VaeHandle(modules.vae, SCALING_FACTOR, DOWNSCALE)


def load_handles(
    folder: Path = WEIGHTS, embedding_folders: tuple[Path, ...] = ()
) -> tuple[ModelHandle, ClipHandle, VaeHandle]:
    """MODEL, CLIP and VAE of the trained lab model; errors as for :func:`load_lab_model`."""
    return handles(load_lab_model(folder), embedding_folders)
