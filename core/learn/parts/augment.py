"""Views of a picture: smaller on grey, larger and cut, mirrored (Custom Diffusion, arXiv 2212.04488, section 3.2,
as DisenDiff's release has it)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLER, LARGER = (170 / 512, 1.0), (614 / 512, 716 / 512)
SMALL = 0.6  # below this share of the side a picture is pasted on grey instead of stretched
WORDS = {"small": ("a far away ", "very small "), "large": ("zoomed in ", "close up ")}


@dataclass(frozen=True, eq=False)
class View:
    """A picture as it is trained on.

    Attributes:
        picture: (1, 3, H, W) in 0..1.
        prefix: what a sentence about it begins with, for instance ``"very small "``.
        box: (top, left, height, width) in pixels that the picture fills; the rest is grey.
    """

    picture: Tensor
    prefix: str
    box: tuple[int, int, int, int]

    def valid(self, size: tuple[int, int]) -> Tensor:
        """(h, w) in 0 or 1: latent cells that lie in the picture, without the outermost ring where grey is around."""
        height, width = self.picture.shape[-2:]
        top, left, tall, wide = self.box
        if (tall, wide) == (height, width):
            return torch.ones(size)
        mask = torch.zeros(size)
        down, right = size[0] / height, size[1] / width
        rows = slice(int(top * down) + 1, max(int((top + tall) * down) - 1, int(top * down) + 2))
        columns = slice(int(left * right) + 1, max(int((left + wide) * right) - 1, int(left * right) + 2))
        mask[rows, columns] = 1
        return mask


def random_view(picture: Tensor, flip: float, generator: torch.Generator, scaled: bool = True) -> View:
    """Mirrored with probability ``flip``; scaled with probability 2/3 to a third up to the whole, else a little larger.

    Args:
        picture: (1, 3, H, W) in 0..1.
        flip: 0..1.
        generator: the random source.
        scaled: False leaves the size.
    """
    turned = picture.flip(-1) if _uniform(0, 1, generator) < flip else picture
    if not scaled:
        return View(turned, "", (0, 0, *picture.shape[-2:]))
    low, high = SMALLER if _uniform(0, 1, generator) < 2 / 3 else LARGER
    scale = _uniform(low, high, generator)
    if scale < SMALL:
        return _on_grey(turned, scale, generator)
    if scale > 1:
        return _cut(turned, scale, generator)
    return View(turned, "", (0, 0, *picture.shape[-2:]))


def _on_grey(picture: Tensor, scale: float, generator: torch.Generator) -> View:
    height, width = picture.shape[-2:]
    tall, wide = max(round(height * scale), 1), max(round(width * scale), 1)
    top, left = _integer(height - tall + 1, generator), _integer(width - wide + 1, generator)
    canvas = torch.full_like(picture, 0.5)
    canvas[..., top : top + tall, left : left + wide] = _resized(picture, (tall, wide))
    return View(canvas, _word("small", generator), (top, left, tall, wide))


def _cut(picture: Tensor, scale: float, generator: torch.Generator) -> View:
    height, width = picture.shape[-2:]
    large = _resized(picture, (round(height * scale), round(width * scale)))  # (1, 3, H', W')
    top, left = _integer(large.shape[-2] - height + 1, generator), _integer(large.shape[-1] - width + 1, generator)
    part = large[..., top : top + height, left : left + width]  # (1, 3, H, W)
    return View(part, _word("large", generator), (0, 0, height, width))


def _resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(picture, size=size, mode="bilinear", antialias=True).clamp(0, 1)


def _word(kind: str, generator: torch.Generator) -> str:
    return WORDS[kind][_integer(len(WORDS[kind]), generator)]


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand(1, generator=generator))


def _integer(below: int, generator: torch.Generator) -> int:
    return int(torch.randint(below, (1,), generator=generator))
