"""Stock area conditioning: each text predicts its own part of the latent, and the predictions are averaged.

What ComfyUI's *Conditioning (Set Area with Percentage)*, *Conditioning (Set Mask)* and *Conditioning (Combine)* make of
a sampling run. The text of a box predicts the cells of that box alone, with weights that fall off towards edges inside
the picture, over at most eight cells or a quarter of a side. The text of another mask predicts the whole picture, with
the mask as its weights. The negative text predicts the whole picture, and each box once more. Sampling by a text for
each region goes back to MultiDiffusion (Bar-Tal et al., 2023, arXiv 2302.08113, eq. 5).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...attention.selection import Grid
from ...backbone import Backbone, Conditioning
from ...masks.boxes import Box, box_mask, mask_box
from ...messages import shown
from ..composition import Composition, Region, within

RIM = 8
"""Most cells over which the weight of a box falls off."""

LEAST_WEIGHT = 1e-37
"""What ComfyUI adds to weights, so that cells without a text are zero."""


@dataclass(frozen=True, eq=False)
class Area:
    """Where and when a text predicts what the sampler does.

    Attributes:
        text: one row, or one for each picture.
        box: left, top, right, bottom as shares of the sides; None for the whole picture.
        mask: (h, w) in 0..1 on any grid, for a place that is no box; None for none.
        strength: weight of its prediction, 0 and more.
        start: share of denoising from which it counts, 0 is the first step.
        end: share of denoising to which it counts, 1 is the last step.
    """

    text: Conditioning
    box: Box | None = None
    mask: Tensor | None = None
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0

    def cells(self, size: Grid) -> tuple[slice, slice]:
        """The rows and columns of a latent (h, w) that its text reads, rounded as ComfyUI does."""
        left, top, right, bottom = self.box or (0.0, 0.0, 1.0, 1.0)
        return _span(top, bottom, size[0]), _span(left, right, size[1])

    def weights(self, size: Grid) -> Tensor:
        """(h', w') weights of these cells of a latent (h, w)."""
        rows, columns = self.cells(size)
        if self.mask is not None:
            mask = F.interpolate(self.mask[None, None].float(), size=size, mode="bilinear")[0, 0]  # (h, w)
            return self.strength * mask[rows, columns]
        return self.strength * _ramp(rows, size[0])[:, None] * _ramp(columns, size[1])[None]


def areas_of(composition: Composition, start: float = 0.0, end: float = 1.0) -> tuple[Area, ...]:
    """An area for each region that counts somewhere between two shares of denoising.

    Raises ``ValueError`` for a region without a mask.
    """
    found = []
    for region in composition.regions:
        if region.mask is None:
            raise ValueError(
                f"{shown(region.text)} has no region, and stock area conditioning finds none: give every concept a "
                "place or a mask, or choose attention_couple"
            )
        first, last = max(start, region.start), min(end, region.end)
        if region.weight and first < last:
            box, mask = _place(region)
            found.append(Area(composition.own(region), box, mask, region.weight, first, last))
    return tuple(found)


def _place(region: Region) -> tuple[Box | None, Tensor | None]:
    """The box that the mask of a region is, or that mask."""
    assert region.mask is not None
    mask, box = region.mask, mask_box(region.mask)
    if box is not None and torch.allclose(box_mask(box, *mask.shape), mask.float().cpu(), atol=1e-3):
        left, top, right, bottom = (round(side, 4) for side in box)
        return (left, top, right, bottom), None
    return None, mask


def in_areas(latent: Tensor, areas: Sequence[Area], predict: Callable[[Tensor, Area], Tensor]) -> Tensor:
    """The mean, by their weights, of what areas predict for their cells of a latent.

    Args:
        latent: (B, C, h, w).
        areas: one or more; at least one should be the whole picture, since cells without an area become 0.
        predict: an area's cells (B, C, h', w') and the area to its prediction of the same shape: of the noise, or of
            the clean latent.

    Returns:
        (B, C, h, w), a new tensor.
    """
    size = (latent.shape[-2], latent.shape[-1])
    total, weight = torch.zeros_like(latent), torch.full(size, LEAST_WEIGHT, device=latent.device)
    for area in areas:
        rows, columns = area.cells(size)
        own = area.weights(size).to(latent.device)  # (h', w')
        total[..., rows, columns] += own.to(latent.dtype) * predict(latent[..., rows, columns], area)
        weight[rows, columns] += own
    return total / weight.to(latent.dtype)


def negative_areas(areas: Sequence[Area], negative: Conditioning, size: Grid) -> tuple[Area, ...]:
    """What the negative text predicts beside areas of a latent (h, w): the whole picture, and each box once with the
    weights and times of the first area that has it, as ComfyUI's sampler adds them."""
    boxes: dict[tuple[int, ...], Area] = {}
    for area in areas:
        if area.box is not None:
            rows, columns = area.cells(size)
            boxes.setdefault((rows.start, rows.stop, columns.start, columns.stop), area)
    return (Area(negative), *(replace(area, text=negative) for area in boxes.values()))


def noise_in_areas(
    backbone: Backbone,
    latent: Tensor,
    timestep: Tensor,
    positive: Sequence[Area],
    negative: Conditioning,
    share: float,
) -> tuple[Tensor, Tensor]:
    """The noise that the negative text and areas predict at a latent.

    Args:
        backbone: the model.
        latent: (B, C, h, w).
        timestep: (B,) long.
        positive: the areas, the prompt of the whole picture among them.
        negative: one row, or one for each picture.
        share: of denoising that is done, 0 to 1; areas count by their times.

    Returns:
        Both (B, C, h, w).
    """

    def noise(part: Tensor, area: Area) -> Tensor:
        return backbone.predict_noise(part, timestep, area.text.of_rows(len(part)))

    size = (latent.shape[-2], latent.shape[-1])
    sides = negative_areas(positive, negative, size), positive
    there = [[area for area in side if within(share, area.start, area.end)] for side in sides]
    return in_areas(latent, there[0], noise), in_areas(latent, there[1], noise)


def _span(low: float, high: float, cells: int) -> slice:
    """The cells between two shares of a side; ComfyUI rounds the length and the start, each by itself."""
    start = round(low * cells)
    return slice(start, start + min(cells - start, max(1, round(round(high - low, 6) * cells))))


def _ramp(span: slice, cells: int) -> Tensor:
    """(n,) weights of the cells of a span, which fall off towards ends that are not the side's."""
    length = span.stop - span.start
    weight, rim = torch.ones(length), min(RIM, length // 4)
    rising = (torch.arange(rim) + 1) / max(rim, 1)
    if span.start > 0:
        weight[:rim] *= rising
    if span.stop < cells:
        weight[length - rim :] *= rising.flip(0)
    return weight
