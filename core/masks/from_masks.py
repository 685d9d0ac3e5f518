"""Concepts from masks that a person or another model drew."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from ..attention.selection import Grid
from ..messages import listed
from ..types import Concepts
from .upsample import Size, centre


def concepts_from_masks(
    masks: Tensor,
    picture_size: Size,
    grid: Grid,
    attention: Tensor | None = None,
    names: Sequence[str] | None = None,
    target: Literal["attention", "mask"] = "attention",
    covered: Size | None = None,
) -> Concepts:
    """Concepts whose masks are given.

    Masks of another size than the picture are stretched to it (nearest pixel). A pixel in several masks belongs to
    the smallest of them (a hat before the head it sits on), among equals to the last. A grid cell belongs to the mask
    that covers most of it, if it covers at least as much as the background does; a mask that wins no cell so is
    given the cell that it covers most.

    Args:
        masks: (N, H', W') or (H', W'), bool, or float with 0.5 and more inside.
        picture_size: (H, W) in pixels.
        grid: (h, w) of the result.
        attention: (h*w, h*w) aggregated self-attention, for targets; without it targets are the masks.
        names: N names; ``1``, ``2``, ... by default.
        target: what concepts should attend to: the mean attention row over the mask, or the mask itself.
        covered: the centred part of the picture that the grid stands for, all of it by default.

    Returns:
        N concepts in the order given, scores all 1.

    Raises:
        ValueError: for masks (counted from 1) that are empty, not finite, outside the covered part or wholly hidden by
            smaller ones, and for sizes or names that do not fit.
    """
    pixels = separate(stretch(as_masks(masks), picture_size))
    cells = masks_to_grid(crop(pixels, covered or picture_size), grid)
    if names is not None and len(names) != len(cells):
        raise ValueError(f"{len(cells)} masks need as many names, got {len(names)}")
    targets = mask_targets(cells)
    if attention is not None and target == "attention":
        targets = attention_targets(cells, attention)
    return Concepts(
        masks=cells,
        targets=targets,
        names=tuple(names) if names is not None else tuple(str(i) for i in range(1, len(cells) + 1)),
        scores=torch.ones(len(cells), device=cells.device),
        picture_size=picture_size,
        covered=covered,
    )


def as_masks(masks: Tensor) -> Tensor:
    """(N, H, W) bool of what may be float and may lack N. Raises ``ValueError`` for empty masks, by number from 1."""
    masks = masks[None] if masks.ndim == 2 else masks
    if masks.ndim != 3 or masks.numel() == 0:
        raise ValueError(f"masks must be (N, H, W) with at least one pixel, got {tuple(masks.shape)}")
    if masks.is_floating_point() and not torch.isfinite(masks).all():
        broken = (~torch.isfinite(masks)).flatten(1).any(1)  # (N,)
        raise ValueError(f"{_named(broken)} holds NaN or infinite values")
    inside = masks >= 0.5 if masks.is_floating_point() else masks.bool()  # (N, H, W)
    _refuse(~inside.flatten(1).any(1), "is empty (no value of 0.5 or more); leave it out or draw it")
    return inside


def stretch(masks: Tensor, size: Size) -> Tensor:
    """Masks (N, h, w) bool stretched to a size, nearest pixel. Raises ``ValueError`` for masks that vanish."""
    if masks.shape[1:] == size:
        return masks
    resized = interpolate(masks.float()[:, None], size=size, mode="nearest-exact").squeeze(1) > 0.5  # (N, H, W)
    _refuse(~resized.flatten(1).any(1), f"vanishes when it is stretched to the picture's {size[0]}x{size[1]} pixels")
    return resized


def separate(masks: Tensor) -> Tensor:
    """Masks (N, H, W) bool, overlaps given to the smallest, the last of equals. ``ValueError`` when one vanishes."""
    order = torch.argsort(masks.sum((1, 2)).flip(0), stable=True)  # (N,), smallest first, counted from the last
    separated, free = torch.zeros_like(masks), torch.ones_like(masks[0])  # (N, H, W), (H, W)
    for index in (len(masks) - 1 - order).tolist():
        separated[index] = masks[index] & free
        free = free & ~masks[index]
    _refuse(~separated.flatten(1).any(1), "is wholly covered by smaller masks; leave it out or make them smaller")
    return separated


def crop(masks: Tensor, covered: Size) -> Tensor:
    """The centred part (N, H', W') of masks. Raises ``ValueError`` for masks with no pixel in it."""
    inside = centre(masks, covered)
    _refuse(~inside.flatten(1).any(1), "lies wholly in the edge that the model's latent leaves out")
    return inside


def masks_to_grid(masks: Tensor, grid: Grid) -> Tensor:
    """Disjoint masks (N, H, W) on a grid, (N, h, w) bool, disjoint: each cell to whoever covers most of it.

    Ties between a mask and the background go to the mask, between masks to the first. A mask that wins nothing takes
    the cell it covers most, unless that is all another one has.

    Raises:
        ValueError: for masks that find no cell, by number from 1.
    """
    shares = adaptive_avg_pool2d(masks.float()[None], grid)[0] if len(masks) else masks.new_zeros(0, *grid).float()
    background = 1 - adaptive_avg_pool2d(masks.any(0).float()[None], grid)  # (1, h, w)
    owner = torch.cat([shares, background]).argmax(0)  # (N + 1, h, w) to (h, w)
    for index in range(len(masks)):
        if not (owner == index).any():
            owner = _give_best_cell(owner, shares[index], index, len(masks))
    cells = owner[None] == torch.arange(len(masks), device=masks.device)[:, None, None]  # (N, h, w)
    _refuse(~cells.flatten(1).any(1), f"is too small for a grid of {grid[0]}x{grid[1]} cells shared with the others")
    return cells


def mask_targets(masks: Tensor) -> Tensor:
    """Uniform distributions (N, h, w) over masks that are not empty."""
    return masks / masks.sum((1, 2), keepdim=True)  # (N, h, w) with (N, 1, 1)


def attention_targets(masks: Tensor, attention: Tensor) -> Tensor:
    """The mean attention row (N, h, w) over the cells of each mask, summing to one; where the masks are, and computed
    where the attention is."""
    cells = masks[0].numel()
    if attention.shape != (cells, cells):
        raise ValueError(f"attention {tuple(attention.shape)} does not fit masks of {cells} cells")
    shares = mask_targets(masks).flatten(1).to(attention.device)  # (N, h*w)
    rows = shares @ attention.float()  # (N, h*w) @ (h*w, h*w)
    return (rows / rows.sum(1, keepdim=True)).view(masks.shape).to(masks.device)  # (N, h, w)


def _give_best_cell(owner: Tensor, share: Tensor, index: int, background: int) -> Tensor:
    """The owners (h, w) after the best-covered cell that nobody depends on went to a mask."""
    sizes = torch.bincount(owner.flatten(), minlength=background + 1)  # (N + 1,)
    free = (owner == background) | (sizes[owner] > 1)  # (h, w)
    wish = torch.where(free, share, torch.zeros_like(share))  # (h, w)
    if wish.max() <= 0:
        return owner
    given = owner.flatten().clone()
    given[wish.argmax()] = index
    return given.view(owner.shape)


def _refuse(bad: Tensor, why: str) -> None:
    if bad.any():
        raise ValueError(f"{_named(bad)} {why}")


def _named(bad: Tensor) -> str:
    """The masks that are bad, by their numbers from 1, as the subject of a sentence in the singular."""
    numbers = [str(i + 1) for i in bad.nonzero().flatten().tolist()]
    return f"{'mask' if len(numbers) == 1 else 'each of the masks'} {listed(numbers)}"
