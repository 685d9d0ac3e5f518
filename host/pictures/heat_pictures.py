"""Heat maps as pictures."""

import math
from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..files.images import from_pil, to_pil
from ..shared.picture_sizes import check_range
from .drawing import heat_over
from .labels import write_line

GREATEST_SHEET, GAP = 2048, 4
WORD_SHARE = 0.05
"""Height of a word on a sheet, as a share of the sheet's width."""


def target_size(image: Tensor | None, samples: Tensor, cell: int) -> tuple[int, int]:
    """(H, W) of the picture: the IMAGE's own (B, H, W, 3), or ``cell`` pixels per latent cell along a side."""
    if image is not None:
        return image.shape[1], image.shape[2]
    return samples.shape[-2] * cell, samples.shape[-1] * cell


def stretch_note(latent: tuple[int, int], size: tuple[int, int]) -> str:
    """That maps of a latent (h, w) were stretched to pictures (H, W) of other proportions; "" if they were not.

    A latent leaves out what of a picture's sides fills no whole cell.
    """
    (h, w), (height, width) = latent, size
    if height * w < width * (h + 1) and width * h < height * (w + 1):
        return ""
    return (
        f"The latent that was sampled is {w}x{h} cells and the picture {width}x{height} pixels: the maps were "
        "stretched to other proportions."
    )


def heat_grid(heat: Tensor, words: Sequence[str], image: Tensor | None) -> Tensor:
    """IMAGE (N * B, h, w, 3) of maps (N, B, H, W) in 0..1: all pictures of the first word, then of the second ...

    Raises:
        ValueError: when there are other than B pictures, and for pictures that are not finite.
    """
    return _over(heat, words, _pictures(heat, image))


def heat_sheet(heat: Tensor, words: Sequence[str], image: Tensor | None) -> Tensor:
    """IMAGE (1, h, w, 3) with all maps: a row for each word, or, of a single picture, rows of several words.

    Words stand above their maps. Raises as :func:`heat_grid` does.
    """
    maps = _over(heat, [""] * len(words), _pictures(heat, image))
    across = heat.shape[1] if heat.shape[1] > 1 else math.ceil(math.sqrt(len(maps)))
    return _sheet([to_pil(one) for one in maps], words, heat.shape[1], across)


def _pictures(heat: Tensor, image: Tensor | None) -> Tensor:
    if image is None:
        return torch.zeros(*heat.shape[1:], 3)
    if len(image) != heat.shape[1]:
        raise ValueError(f"{heat.shape[1]} latents were sampled, but {len(image)} pictures are connected")
    check_range(image)
    return image.cpu()


def _over(heat: Tensor, words: Sequence[str], pictures: Tensor) -> Tensor:
    shown = [
        heat_over(picture[..., :3], one, word)
        for word, maps in zip(words, heat, strict=True)
        for picture, one in zip(pictures, maps, strict=True)
    ]
    return torch.stack(shown)


def _sheet(maps: Sequence[Image.Image], words: Sequence[str], each: int, across: int) -> Tensor:
    """Maps laid out, ``across`` in a row, with a word above every ``each`` of them."""
    down = -(-len(maps) // across)
    scale = min(1.0, GREATEST_SHEET / (across * maps[0].width), GREATEST_SHEET / (down * maps[0].height))
    width, height = (max(1, round(side * scale)) for side in maps[0].size)
    letters = max(14, round(WORD_SHARE * across * width))
    band = round(letters * 1.5)
    canvas = Image.new("RGB", (across * (width + GAP) + GAP, down * (band + height + GAP)), (24, 24, 24))
    draw = ImageDraw.Draw(canvas)
    for index, one in enumerate(maps):
        left, top = GAP + index % across * (width + GAP), index // across * (band + height + GAP)
        canvas.paste(one.resize((width, height), Image.Resampling.LANCZOS), (left, top + band))
        if index % each == 0:
            word, room = words[index // each], min(each, across) * (width + GAP) - 8
            write_line(draw, (left + 2, top + band / 2), word, "white", letters, room, "lm")
    return from_pil(canvas)[0][None]
