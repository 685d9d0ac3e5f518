"""Pictures between files and tensors."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from .names import inside
from .saving import write_numbered


def to_pil(picture: Tensor) -> Image.Image:
    """Picture (H, W, 3) in 0..1, or mask (H, W), to an 8-bit PIL picture; values outside are clipped, as in ComfyUI.

    Raises ``ValueError`` for NaN or infinite values, which would be written as black.
    """
    if not torch.isfinite(picture).all():
        raise ValueError("the picture holds NaN or infinite values; the latent or the model it came from is broken")
    return Image.fromarray((255.0 * picture.detach().float().cpu()).clamp(0, 255).to(torch.uint8).numpy())


def from_pil(picture: Image.Image) -> tuple[Tensor, Tensor | None]:
    """A PIL picture to colours (H, W, 3) in 0..1 and, where it has one, its transparency (H, W): 1 = see-through."""
    if picture.mode.startswith("I"):  # 16 bits a pixel, which "convert" would clip at 255
        grey = torch.from_numpy(np.asarray(picture, dtype=np.float32) / 65535.0)
        return grey.clamp(0, 1)[..., None].repeat(1, 1, 3), None
    colours = torch.from_numpy(np.asarray(picture.convert("RGB"), dtype=np.float32) / 255.0)
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return colours, None
    alpha = np.asarray(picture.convert("RGBA").getchannel("A"), dtype=np.float32) / 255.0
    return colours, 1.0 - torch.from_numpy(alpha)


def read_frames(path: Path) -> list[tuple[Tensor, Tensor | None]]:
    """Every frame of a picture file, upright, as :func:`from_pil` gives it. ``ValueError`` for what is no picture."""
    try:
        with Image.open(path) as opened:
            return [from_pil(ImageOps.exif_transpose(frame)) for frame in ImageSequence.Iterator(opened)]
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise ValueError(f"{path} cannot be read as a picture: {error}") from error


def save_batch(
    pictures: Tensor, folder: Path, prefix: str, metadata: Mapping[str, Any], compress_level: int = 4
) -> list[Path]:
    """Write pictures (B, H, W, 3) in 0..1 as ``<prefix>_00001_.png`` ... in ``folder``, counting on from what is there.

    Args:
        prefix: may name sub-folders; refused (``BadNameError``) when it would leave ``folder``.
        metadata: stored as JSON texts, by which ComfyUI restores the workflow from the picture.
    """
    stem = inside(folder, prefix, "filename_prefix")
    info = PngInfo()
    for key, value in metadata.items():
        info.add_text(key, json.dumps(value))
    number, paths = 0, []
    for picture in pictures:
        save = partial(to_pil(picture).save, format="PNG", pnginfo=info, compress_level=compress_level)
        number, written = write_numbered(stem, {"png": save}, number + 1 if number else 0)
        paths += written
    return paths
