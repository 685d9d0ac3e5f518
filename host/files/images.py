"""Pictures between files and tensors."""

import io
import json
from collections.abc import Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, ImageSequence, features
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ...core.messages import plain
from .filename_tokens import BATCH_NUMBER, fill_prefix
from .names import inside
from .pillow import reading
from .png_chunks import SIGNATURE, without_extras
from .saving import write_numbered


def to_pil(picture: Tensor) -> Image.Image:
    """Picture (H, W, 1, 3 or 4) in 0..1, or mask (H, W), to an 8-bit PIL picture. Values outside are cut off.

    Raises ``ValueError`` for NaN or infinite values, which would be written as black.
    """
    if not torch.isfinite(picture).all():
        raise ValueError("the picture holds NaN or infinite values; the latent or the model it came from is broken")
    picture = picture[..., 0] if picture.ndim == 3 and picture.shape[-1] == 1 else picture
    return Image.fromarray((255.0 * picture.detach().float().cpu()).clamp(0, 255).to(torch.uint8).numpy())


def from_pil(picture: Image.Image) -> tuple[Tensor, Tensor | None]:
    """A PIL picture to colours (H, W, 3) in 0..1 and, where it has one, its transparency (H, W): 1 = see-through.

    As in ComfyUI, pixels of 32 bits and decimal ones are read as 0..255, those of 16 bits as 0..65535. ``ValueError``
    for pixels outside, which would be cut off, and for decimal ones of 0..1, which would be black.
    """
    if picture.mode.startswith("I;"):
        grey = torch.from_numpy(np.asarray(picture, dtype=np.float32) / 65535.0)
        return grey[..., None].repeat(1, 1, 3), None
    if picture.mode in ("I", "F"):
        _check_range(np.asarray(picture))
    colours = torch.from_numpy(np.asarray(picture.convert("RGB"), dtype=np.float32) / 255.0)
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return colours, None
    alpha = np.asarray(picture.convert("RGBA").getchannel("A"), dtype=np.float32) / 255.0
    return colours, 1.0 - torch.from_numpy(alpha)


def read_frames(path: Path) -> list[tuple[Tensor, Tensor | None]]:
    """Every frame of a picture file, upright, as :func:`from_pil` gives it; of a photo that holds several (MPO) one.

    Raises:
        ValueError: naming the file, for what is no picture and what :func:`from_pil` refuses.
    """
    known = "" if path.suffix.lower() != ".avif" or features.check("avif") else "; AVIF needs Pillow 11.3 or newer"
    with reading(plain(str(path), 300), known), _opened(path) as opened:
        frames = ImageSequence.Iterator(opened)
        chosen = islice(frames, 1) if opened.format == "MPO" else frames
        return [from_pil(_sixteen_bits(ImageOps.exif_transpose(frame), opened.format)) for frame in chosen]


def _opened(path: Path) -> Image.Image:
    with path.open("rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            return Image.open(path)
    return Image.open(io.BytesIO(without_extras(path.read_bytes())))


def _sixteen_bits(picture: Image.Image, kind: str | None) -> Image.Image:
    """PNG knows no 32 bits; older Pillows give its 16 as such."""
    return picture.convert("I;16") if kind == "PNG" and picture.mode == "I" else picture


def _check_range(pixels: Any) -> None:
    least, most = pixels.min(), pixels.max()
    if not (least >= 0 and most <= 255):  # also for what is no number
        raise ValueError(f"its pixels go from {least} to {most}, and ComfyUI cuts them to 0..255; save it with 16 bits")
    if pixels.dtype.kind == "f" and 0 < most <= 1:
        raise ValueError("its pixels are decimal numbers of 0..1, which ComfyUI, reading 0..255, takes for black")


def save_batch(
    pictures: Tensor, folder: Path, prefix: str, metadata: Mapping[str, Any], compress_level: int = 4
) -> list[Path]:
    """Write pictures (B, H, W, 3) in 0..1 as ``<prefix>_00001_.png`` ... in ``folder``, counting on from what is there.

    Args:
        prefix: may name sub-folders and hold tokens such as ``%year%``, ``%width%`` and ``%batch_num%``; refused
            (``BadNameError``) when it would leave ``folder``.
        metadata: stored as JSON texts, by which ComfyUI restores the workflow from the picture.
    """
    size = (pictures.shape[1], pictures.shape[2])
    stem = inside(folder, fill_prefix(prefix, size), "filename_prefix")
    info = PngInfo()
    for key, value in metadata.items():
        info.add_text(key, json.dumps(value))
    number, paths = 0, []
    for index, picture in enumerate(pictures):
        save = partial(to_pil(picture).save, format="PNG", pnginfo=info, compress_level=compress_level)
        named = stem.with_name(stem.name.replace(BATCH_NUMBER, str(index)))
        number, written = write_numbered(named, {"png": save}, number + 1 if number else 0)
        paths += written
    return paths
