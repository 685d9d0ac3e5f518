"""Pictures and masks as nodes are given them, and what nodes show under themselves."""

from typing import Any

import torch
from torch import Tensor

from ..host.schema import io, ui
from ..host.shared.picture_sizes import check_range

SAME_PROPORTIONS = 0.05
"""How far the proportions of masks and picture may differ without a note: a grid of cells is cut to whole ones."""


def picture_of(image: Tensor) -> Tensor:
    """The first picture of an IMAGE as (1, 3, H, W), see :func:`picture_batch`."""
    return picture_batch(image[:1])


def picture_batch(image: Tensor) -> Tensor:
    """All pictures of an IMAGE (B, H, W, C) as (B, 3, H, W); transparency is left out, grey becomes RGB.

    Raises:
        ValueError: for anything that is no IMAGE of 1, 3 or 4 channels in 0..1.
    """
    if image.ndim != 4 or len(image) == 0 or image.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"an IMAGE must be (pictures, height, width, 1, 3 or 4 channels), got {tuple(image.shape)}; "
            "connect the output of Load Image"
        )
    check_range(image)
    picture = image[..., :3].movedim(-1, 1).float().cpu()  # where ComfyUI keeps pictures on a GPU, too
    return picture.expand(-1, 3, -1, -1).clone()


def masks_of(mask: Tensor) -> Tensor:
    """The masks of a MASK (N, H, W), which may lack N, or have a channel behind it as some packs write it.

    They are decimal numbers in 0..1, whatever a pack wrote: ticks, whole numbers, or values that go beyond.
    Raises ``ValueError`` for values that are not finite.
    """
    masks = mask.reshape(-1, *mask.shape[-2:]).float().cpu()
    if not bool(torch.isfinite(masks).all()):
        raise ValueError("the mask holds NaN or infinite values; expected 0..1")
    return masks.clamp(0, 1)


def stretched(mask: Tensor, image: Tensor) -> str:
    """That masks have other proportions than the pictures of an IMAGE (B, H, W, C); "" where they are alike."""
    (height, width), (rows, columns) = mask.shape[-2:], image.shape[1:3]
    if abs(height * columns - width * rows) <= max(height * columns, width * rows) * SAME_PROPORTIONS:
        return ""
    return f"The masks of {width}x{height} pixels were stretched to the picture of {columns}x{rows}."


def pictures_under(cls: type[io.ComfyNode], *batches: Tensor) -> dict[str, Any]:
    """What a node shows as pictures under it: batches (B, H, W, 3) in 0..1, each of its own size."""
    shown = [ui.PreviewImage(pictures, cls=cls).as_dict() for pictures in batches]
    return {"images": [picture for each in shown for picture in each["images"]]}


def text_under(*lines: str) -> dict[str, Any]:
    """What a node shows as text under it: the lines that are not empty; nothing without any."""
    said = "\n".join(line for line in lines if line)
    return ui.PreviewText(said).as_dict() if said else {}


def page_under(cls: type[io.ComfyNode], pictures: Tensor, *lines: str) -> dict[str, Any]:
    """What a node shows under it as pictures (B, H, W, 3) in 0..1 and as lines of text."""
    return ui.PreviewImage(pictures, cls=cls).as_dict() | text_under(*lines)


def first_only(**images: Tensor) -> str:
    """That only the first picture of a batch was read, by the names of inputs; "" where each has one."""
    counts = {name: len(image) for name, image in images.items() if len(image) > 1}
    return " ".join(f"Of the {count} pictures of {name}, the first was read." for name, count in counts.items())
