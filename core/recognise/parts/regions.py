"""Positions of activations and the masks over them; what is found there as masks, scores and boxes of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...clustering.components import components_of_pairs
from ...explain.bank import ACTIVE, ConceptCodes
from ...masks.boxes import Box, mask_box
from ...masks.guided import guided_filter
from ...masks.upsample import centre, to_pixels

PRESENT = "present"
"""In the extra tensors of a bank: the strongest code of a picture, as a share of the peak, from which it shows the
subject."""
LEAST_AREA = 0.005
REACH, EPS = 0.75, 1e-3
"""Of the filter that lets outlines follow the picture: cells of the grid, and the variance that counts as even."""


def shares_on(masks: Tensor, grid: tuple[int, int], covered: tuple[int, int] | None = None) -> Tensor:
    """(P, h * w) the share of each position that masks (P, H, W) in 0..1 cover.

    Raises ``ValueError`` for masks that are clearly not as large as pictures of which a centred part was read.
    """
    if covered is not None and any(
        mask >= part + part // cells for mask, part, cells in zip(masks.shape[-2:], covered, grid, strict=True)
    ):
        raise ValueError(
            f"masks of {masks.shape[-2]}x{masks.shape[-1]} are larger than the pictures, of which {covered[0]}x"
            f"{covered[1]} was read; give masks in the size of the pictures"
        )
    inside = centre(masks.float(), covered)
    return interpolate(inside[:, None], size=grid, mode="area").flatten(1)


@dataclass(frozen=True, eq=False)
class Finding:
    """A subject in P pictures.

    Attributes:
        soft: (P, H, W) in 0..1, how like the subject each pixel is; 0.5 divides the examples best.
        masks: (P, H, W) bool, the part that shows it most in each picture; empty where none does.
        scores: (P,) how strongly a picture shows it, by its strongest position; 0.5 divides, 1 and more is sure.
        boxes: P boxes around the masks, None for empty ones.
    """

    soft: Tensor
    masks: Tensor
    scores: Tensor
    boxes: tuple[Box | None, ...]

    @property
    def present(self) -> list[int]:
        """The pictures that show it."""
        return [index for index, box in enumerate(self.boxes) if box is not None]


def find_subject(
    codes: ConceptCodes, concept: int, pictures: Tensor, threshold: float = ACTIVE, least_area: float = LEAST_AREA
) -> Finding:
    """Where a concept is in pictures (P, 3, H, W): the connected part that shows it most, if one does.

    A picture shows it where its strongest position is as strong as those of most examples, see :data:`PRESENT`.
    Outlines follow the edges of the pictures (guided filter). A part counts by the sum of how far its pixels lie above
    the threshold, so that a few strong pixels do not win against a whole thing.

    Args:
        threshold: the soft value from which a pixel belongs to it, and the score from which a picture shows it, 0..1.
        least_area: parts that cover less of the picture are passed over.
    """
    maps = codes.maps()[:, concept]  # (P, h, w)
    size = (pictures.shape[-2], pictures.shape[-1])
    rough = to_pixels(maps, size, "bilinear", codes.covered)
    cell = max(side / cells for side, cells in zip(codes.covered or size, codes.grid, strict=True))
    soft = torch.stack([_along_edges(one, picture, cell) for one, picture in zip(rough, pictures, strict=True)])
    scores = ACTIVE * codes.scores()[:, concept] / codes.bank.extra.get(PRESENT, torch.tensor([ACTIVE]))[0]
    parts = [best_part(one, threshold, least_area) for one in soft]
    masks = torch.stack([part & (score >= threshold) for part, score in zip(parts, scores, strict=True)])
    return Finding(soft, masks, scores, tuple(mask_box(mask) for mask in masks))


def _along_edges(soft: Tensor, picture: Tensor, cell: float) -> Tensor:
    return guided_filter(picture, soft[None], max(1, round(REACH * cell)), EPS)[0].clamp(0, 1)


def best_part(soft: Tensor, threshold: float, least_area: float) -> Tensor:
    """(H, W) bool: the 4-connected part of a soft mask above a threshold with the largest excess; empty for none."""
    inside = soft > threshold
    labels = parts_of(inside)
    count = int(labels.max()) + 1
    if not count:
        return inside
    known = labels >= 0
    excess = torch.zeros(count).index_add(0, labels[known], (soft[known] - threshold).float())
    area = torch.bincount(labels[known], minlength=count)
    excess = excess.masked_fill(area < least_area * soft.numel(), -1.0)
    best = int(excess.argmax())
    return labels == best if excess[best] > 0 else torch.zeros_like(inside)


def parts_of(mask: Tensor) -> Tensor:
    """(H, W) long: the number of the 4-connected part that each pixel of a mask (H, W) bool belongs to, -1 outside."""
    number = torch.arange(mask.numel()).view(mask.shape)
    across = torch.stack([number[:, :-1], number[:, 1:]], -1)[mask[:, :-1] & mask[:, 1:]]
    down = torch.stack([number[:-1], number[1:]], -1)[mask[:-1] & mask[1:]]
    labels = components_of_pairs(mask.numel(), torch.cat([across, down])).view(mask.shape)
    found = torch.full_like(labels, -1)
    if mask.any():
        found[mask] = torch.unique(labels[mask], return_inverse=True)[1]
    return found


def crop_box(box: Box, size: tuple[int, int], margin: float) -> tuple[int, int, int]:
    """(top, left, side) in pixels of the square around a box, grown by a share of its longer side, moved into the
    picture of a size (H, W) and cut to its shorter side."""
    left, top, right, bottom = box
    height, width = (bottom - top) * size[0], (right - left) * size[1]
    side = min(max(1, round(max(height, width) * (1 + 2 * margin))), *size)
    row, column = (top + bottom) / 2 * size[0] - side / 2, (left + right) / 2 * size[1] - side / 2
    return min(max(0, round(row)), size[0] - side), min(max(0, round(column)), size[1] - side), side


def crops_of(pictures: Tensor, boxes: Sequence[Box | None], margin: float, side: int) -> Tensor:
    """(n, 3, side, side): the square around each box that is there, resized."""
    size = (pictures.shape[-2], pictures.shape[-1])
    found = []
    for picture, box in zip(pictures, boxes, strict=True):
        if box is None:
            continue
        top, left, length = crop_box(box, size, margin)
        part = picture[:, top : top + length, left : left + length]
        found.append(interpolate(part[None], (side, side), mode="bilinear", antialias=True)[0].clamp(0, 1))
    return torch.stack(found) if found else torch.zeros(0, 3, side, side)
