"""Where the regions of a composition lie, on the grid of any attention layer: given by masks, or found while a picture
is sampled, from the attention to the concepts' words in the first steps."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...attention.probabilities import head_mean
from ...attention.resize import mask_on, resize_maps
from ...attention.selection import Grid
from ...attention.stretch import stretched
from ...backbone import AttentionCall, AttentionInputs
from ..composition import Composition, Region

MAX_SIDE = 32
"""Cells along the longer side of the grid on which places are found."""


class Places:
    """The places of one sampling run.

    Args:
        composition: its regions.
        until: share of denoising in which the words are read, where a region has no mask; their places hold after it.
        threshold: share of a word's strongest attention from which a cell belongs to it.
    """

    def __init__(self, composition: Composition, until: float, threshold: float) -> None:
        self._composition, self._until, self._threshold = composition, until, threshold
        self._sums: Tensor | None = None  # (B, R, h, w)
        self._found: Tensor | None = None
        self._masks: dict[Grid, Tensor] = {}

    def reads(self, share: float) -> bool:
        """Whether the attention of words is to be read at this share of denoising."""
        return not self._composition.placed and share < self._until

    def read(self, inputs: AttentionInputs) -> None:
        """Add the attention to the concepts' words of a layer that reads the text."""
        call, base = inputs.call, self._composition.base
        query, key = call.query, call.key
        if call.columns is None:
            maps = head_mean(query, key[:, :, base], call.scale)  # (B, h*w, L)
        else:  # the prompt's share of the one softmax of a joint layer
            assert inputs.text is not None
            base = slice(inputs.text.start + base.start, inputs.text.start + base.stop)
            seen = torch.cat([key[:, :, base], key[:, :, call.columns]], dim=2)
            maps = head_mean(query[:, :, call.columns], seen, call.scale, columns=slice(0, base.stop - base.start))
        maps = maps.transpose(1, 2).unflatten(2, call.grid)  # (B, L, h, w)
        own = torch.stack(
            [maps[:, list(region.words)].mean(1) if region.words else maps[:, 0] * 0 for region in self._regions], 1
        )  # (B, R, h, w)
        own = resize_maps(own, self._size(call), "bilinear")
        self._sums = own if self._sums is None else self._sums + own

    def _size(self, call: AttentionCall) -> Grid:
        """The grid on which places are found: that of the first layer's estimate, since coarse grids round sides up."""
        if self._sums is not None:
            return (self._sums.shape[-2], self._sums.shape[-1])
        latent = [side * call.site.downscale for side in call.grid]
        shrink = max(1, -(-max(latent) // MAX_SIDE))
        return (latent[0] // shrink, latent[1] // shrink)

    def on(self, grid: Grid) -> Tensor | None:
        """(1 or B, R, h, w) in 0..1 on a grid; None while the places are not known."""
        if self._composition.placed:
            if grid not in self._masks:
                self._masks[grid] = torch.stack([mask_on(mask, grid) for mask in self._given().values()])[None]
            return self._masks[grid]
        if self._sums is None:
            return None
        if self._found is None:
            self._found = self._with_given(self._won(self._sums))
        if grid not in self._masks:
            self._masks[grid] = resize_maps(self._found, grid, "bilinear")
        return self._masks[grid]

    @property
    def _regions(self) -> tuple[Region, ...]:
        return self._composition.regions

    def _won(self, sums: Tensor) -> Tensor:
        """(B, R, h, w) of 0 and 1: the cells of each region that is found; those that are given compete for none."""
        found, searched = torch.zeros_like(sums), [n for n, region in enumerate(self._regions) if region.mask is None]
        found[:, searched] = _winners(sums[:, searched], self._threshold)
        return found

    def _with_given(self, found: Tensor) -> Tensor:
        """Places found, with the masks that were given in place of theirs."""
        size = (found.shape[-2], found.shape[-1])
        for index, mask in self._given().items():
            found[:, index] = mask_on(mask, size).to(found)
        return found

    def _given(self) -> dict[int, Tensor]:
        return {index: region.mask for index, region in enumerate(self._regions) if region.mask is not None}


def _winners(sums: Tensor, threshold: float) -> Tensor:
    """(B, R, h, w) of 0 and 1: each cell belongs to the concept whose smoothed and stretched map is highest there, if
    that reaches the threshold."""
    maps = stretched(smoothed(sums))
    first = F.one_hot(maps.argmax(1), maps.shape[1]).movedim(-1, 1)  # (B, R, h, w)
    return (first.bool() & (maps >= threshold)).float()


def smoothed(maps: Tensor, beside: float = 0.25) -> Tensor:
    """Maps (B, R, h, w) under a Gaussian of three cells, of which those beside the middle have this share each."""
    kernel = torch.tensor([beside, 1 - 2 * beside, beside], device=maps.device, dtype=maps.dtype)
    batch, count = maps.shape[:2]
    flat = F.pad(maps.flatten(0, 1)[:, None], (1, 1, 1, 1), mode="replicate")  # (B * R, 1, h + 2, w + 2)
    flat = F.conv2d(F.conv2d(flat, kernel.view(1, 1, 3, 1)), kernel.view(1, 1, 1, 3))
    return flat.view(batch, count, *maps.shape[-2:])
