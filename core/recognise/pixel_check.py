"""Whether a score rests on the pixels that it should: with a region hidden it must fall, and further than with as many
other pixels hidden (after *Can We Constrain Concept Bottleneck Models to Learn Semantically Meaningful Input
Features?*, 2024, which judges saliency; a score that does not fall rests on something else)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

Score = Callable[[Tensor], Tensor]
"""Pictures (P, 3, H, W) to scores (P, C)."""

RIM = 0.02
"""By how much of the shorter side a region grows before it is hidden: an outline that stays would give it away."""


@dataclass(frozen=True, eq=False)
class PixelCheck:
    """What hiding a region of P pictures does to C scores.

    Attributes:
        before: (P, C) scores of the pictures as they are.
        fall: (P, C) by how much they fall with the region hidden.
        beside: (P, C) by how much they fall with as many pixels hidden elsewhere.
        hidden, elsewhere: (P, 3, H, W) the pictures that were scored.
        overlap: (P,) the share of the region that the other pixels could not avoid.
    """

    before: Tensor
    fall: Tensor
    beside: Tensor
    hidden: Tensor
    elsewhere: Tensor
    overlap: Tensor

    @property
    def passes(self) -> Tensor:
        """(P, C) bool: the score falls, and further than elsewhere."""
        return (self.fall > 0) & (self.fall > self.beside)


def check_pixels(score: Score, pictures: Tensor, masks: Tensor) -> PixelCheck:
    """Hide the masks (P, H, W) in 0..1 of pictures (P, 3, H, W), and as many other pixels, and score all of them.

    Masks grow by :data:`RIM` first.

    Raises ``ValueError`` for masks of another number or size than the pictures, and for one that covers nothing or
    everything.
    """
    if masks.shape != (len(pictures), *pictures.shape[-2:]):
        raise ValueError(
            f"{len(pictures)} pictures of {pictures.shape[-1]}x{pictures.shape[-2]} need a mask each of that size, "
            f"got {tuple(masks.shape)}"
        )
    masks = grown(masks)
    area = masks.flatten(1).mean(1)
    for number, share in enumerate(area.tolist(), 1):
        if not 0 < share < 1:
            raise ValueError(f"the mask of picture {number} covers {share:.0%} of it; hide a part of the picture")
    other = away_from(masks)
    hidden, elsewhere = hide(pictures, masks), hide(pictures, other)
    before, after, beside = score(pictures), score(hidden), score(elsewhere)
    overlap = torch.minimum(masks, other).flatten(1).mean(1) / area
    return PixelCheck(before, before - after, before - beside, hidden, elsewhere, overlap)


def grown(masks: Tensor) -> Tensor:
    """Masks (P, H, W) grown by :data:`RIM`, at least by a pixel."""
    radius = max(1, round(RIM * min(masks.shape[-2:])))
    return max_pool2d(masks[:, None], 2 * radius + 1, 1, radius)[:, 0]


def hide(pictures: Tensor, masks: Tensor) -> Tensor:
    """Pictures (P, 3, H, W) with masks (P, H, W) in 0..1 filled by the mean colour of the rest of each picture."""
    inside = masks[:, None]
    rest = (1 - inside).clamp(min=1e-6)
    colour = (pictures * rest).sum((2, 3), keepdim=True) / rest.sum((2, 3), keepdim=True)
    return pictures * (1 - inside) + colour * inside


def away_from(masks: Tensor) -> Tensor:
    """(P, H, W) each mask moved, around the rim where it must, to where it overlaps itself least."""
    height, width = masks.shape[-2:]
    moves = [(row * height // 4, column * width // 4) for row in range(4) for column in range(4)][1:]
    best, least = masks, torch.full((len(masks),), torch.inf).to(masks)
    for move in moves:  # one at a time: fifteen copies of all masks would take gigabytes
        moved = masks.roll(move, (1, 2))  # (P, H, W)
        overlap = torch.minimum(moved, masks).flatten(1).sum(1)  # (P,)
        best = torch.where((overlap < least)[:, None, None], moved, best)
        least = torch.minimum(overlap, least)
    return best
