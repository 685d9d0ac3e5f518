"""Boxes as ComfyUI's nodes hand them on: ``BOUNDING_BOX`` elements, in pixels.

An element is a dictionary of ``x``, ``y``, ``width`` and ``height``. A socket carries one of them, a list of them, or a
list of such lists, one for each picture. *Create Bounding Boxes* adds ``metadata`` with a ``desc``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ...core.masks.boxes import Box, mask_box
from ...core.messages import shown

SIDES = ("x", "y", "width", "height")


def elements_of(masks: Sequence[Tensor], names: Sequence[str], width: int, height: int) -> list[list[dict[str, Any]]]:
    """The boxes of masks (h, w) as elements of one picture of ``width`` by ``height`` pixels.

    Each has the concept's name as its ``desc``; a mask that covers nothing has no box.
    """
    boxes = [(mask_box(mask), name) for mask, name in zip(masks, names, strict=True)]
    return [[element_of(box, name, width, height) for box, name in boxes if box is not None]]


def boxes_around(masks: Tensor, names: Sequence[str]) -> list[list[dict[str, Any]]]:
    """:func:`elements_of` for masks (K, H, W) at the size of the picture."""
    return elements_of(list(masks), names, int(masks.shape[-1]), int(masks.shape[-2]))


def boxes_of(given: Any, width: int, height: int) -> list[Box]:
    """The boxes of the first picture, as shares of the sides of a picture of ``width`` by ``height`` pixels.

    Raises ``ValueError`` for what is no element, and for a box that does not lie in that picture.
    """
    elements = [given] if isinstance(given, Mapping) else given
    if isinstance(elements, list | tuple) and elements and isinstance(elements[0], list | tuple):
        elements = elements[0]
    if not isinstance(elements, list | tuple) or not all(_is_element(one) for one in elements):
        raise ValueError(
            f"bounding boxes are elements with {', '.join(SIDES)}, got {shown(given)}; connect Create Bounding Boxes "
            "or a node that finds things"
        )
    return [_shares(element, width, height) for element in elements]


def element_of(box: Box, name: str, width: int, height: int) -> dict[str, Any]:
    """A box as an element of a picture of ``width`` by ``height`` pixels."""
    left, top, right, bottom = box
    x, y = round(left * width), round(top * height)
    size = {"width": round(right * width) - x, "height": round(bottom * height) - y}
    return {"x": x, "y": y, **size, "metadata": {"type": "obj", "text": "", "desc": name, "palette": []}}


def _is_element(given: Any) -> bool:
    return isinstance(given, Mapping) and all(isinstance(given.get(side), int | float) for side in SIDES)


def _shares(element: Mapping[str, Any], width: int, height: int) -> Box:
    x, y, wide, high = (float(element[side]) for side in SIDES)
    box = (x / width, y / height, (x + wide) / width, (y + high) / height)
    if not (wide > 0 and high > 0 and all(0 <= side <= 1 for side in box)):  # nor is a side NaN
        raise ValueError(
            f"the box x={x:g}, y={y:g}, width={wide:g}, height={high:g} does not lie in a picture of {width}x{height} "
            "pixels: set width and height to the size that the boxes were drawn in"
        )
    return box
