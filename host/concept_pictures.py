"""Concepts as people see them: masks in the picture's size, an overlay, a few words."""

from torch import Tensor

from ..core.localize.upsample import smooth_masks, to_pixels
from ..core.types import Concepts
from .drawing import overlay_masks


def concept_masks(concepts: Concepts) -> Tensor:
    """MASK (N, H, W): each concept in the picture's size, outlines smoothed, disjoint where the masks are."""
    return smooth_masks(concepts.masks, concepts.picture_size, concepts.covered).float()


def concept_overlay(picture: Tensor, concepts: Concepts) -> Tensor:
    """IMAGE (1, h, w, 3): the picture (1, 3, H, W) with every concept tinted and named."""
    masks = to_pixels(concepts.masks, concepts.picture_size, "nearest", concepts.covered)
    return overlay_masks(picture[0].movedim(0, -1), masks, [f"<{name}>" for name in concepts.names])[None]


def describe_concepts(concepts: Concepts) -> str:
    """One line a concept, then what the localiser had to decide."""
    areas = concepts.masks.float().mean((1, 2)).tolist()
    lines = [
        f"<{name}>: saliency {score:.2f}, {area:.0%} of the picture"
        for name, score, area in zip(concepts.names, concepts.scores.tolist(), areas, strict=True)
    ]
    return "\n".join([*lines, *(f"note: {note}" for note in concepts.notes)])
