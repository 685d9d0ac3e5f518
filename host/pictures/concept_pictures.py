"""Concepts as people see them: masks in the picture's size, an overlay, a few words."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...core.masks.guided import pixel_masks
from ...core.messages import plain
from ...core.types import Concepts
from ..shared.progress import check_interrupt
from .drawing import colour_of, overlay_masks
from .labels import Colour


def concept_masks(concepts: Concepts, picture: Tensor | None = None) -> Tensor:
    """MASK (N, H, W): each concept in the picture's size, disjoint if the masks are. With the picture (1, 3, H, W)
    outlines follow its edges, for concepts that ask for it."""
    return pixel_masks(concepts, picture, check_interrupt).float()


def picture_for(concepts: Concepts, picture: Tensor | None) -> Tensor:
    """The picture (1, 3, H, W) to show concepts over: what is given, or plain grey.

    Raises ``ValueError`` for a picture of another size than that which the concepts were found in.
    """
    size = concepts.picture_size
    if picture is None:
        return torch.full((1, 3, *size), 0.5)
    if tuple(picture.shape[-2:]) != tuple(size):
        height, width = picture.shape[-2:]
        raise ValueError(
            f"the image has {width}x{height} pixels, the concepts were found in one of {size[1]}x{size[0]}: "
            "connect the same picture"
        )
    return picture


def concept_overlay(
    picture: Tensor, concepts: Concepts, scores: bool = False, colours: Sequence[Colour] | None = None
) -> Tensor:
    """IMAGE (1, h, w, 3): the picture (1, 3, H, W) with every concept tinted and named, if asked with its score."""
    labels = [
        f"<{name}> {score:.2f}" if scores else f"<{name}>"
        for name, score in zip(concepts.names, concepts.scores.tolist(), strict=True)
    ]
    return overlay_masks(picture[0].movedim(0, -1), concept_masks(concepts, picture), labels, colours)[None]


def inherited_colours(concepts: Concepts, origin: Concepts) -> list[Colour]:
    """A colour per concept: that of the concept of ``origin`` it covers most of, a new one if it covers none."""
    shared = concepts.masks.flatten(1).float() @ origin.masks.flatten(1).float().T
    return [colour_of(int(row.argmax()) if row.any() else len(origin)) for row in shared]


def describe_concepts(concepts: Concepts) -> str:
    """One line a concept, then what the localiser had to decide."""
    areas = concepts.masks.float().mean((1, 2)).tolist()
    lines = [
        f"<{plain(name)}>: saliency {score:.2f}, {area:.0%} of the picture"
        for name, score, area in zip(concepts.names, concepts.scores.tolist(), areas, strict=True)
    ]
    return "\n".join([*lines, *(f"Note: {note}" for note in concepts.notes)])
