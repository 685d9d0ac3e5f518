"""LoRA-Composer's guidance: the latent is renewed before the first step, and moves before others, by the attention to
the regions' own texts.

Yang et al., arXiv 2403.11627: latent re-initialisation, concept enhancement and region constraint. Maps are those of
each region's own text under the region's LoRA, read while concepts are injected, and smoothed.
"""

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from ...attention.probabilities import head_mean
from ...attention.resize import mask_on
from ...backbone import AttentionCall, AttentionEdit, AttentionInputs, Backbone, EditedOutput
from ..composition import Composition, Region
from .adapters import added, queries
from .places import smoothed
from .region_losses import best_window, box_of, enhancement, filling, straying
from .steering import gradient_of, read_attention, reading_sites

LEAST_SHARE = 0.1
"""Share of denoising from which guidance ends where its loss rises, as in the paper: five steps of fifty."""

BESIDE = 0.1065
"""Share of each neighbour in maps under a Gaussian of three cells with a standard deviation of half a cell."""

FIRST = 0.05
"""A run that begins before this share of denoising begins from noise, and may be renewed."""


class GuidanceSettings(Protocol):
    """What guidance asks of the settings of a method."""

    @property
    def guidance(self) -> float: ...
    @property
    def guide_until(self) -> float: ...
    @property
    def fill(self) -> float: ...
    @property
    def constrain(self) -> float: ...
    @property
    def renew(self) -> bool: ...
    @property
    def cells(self) -> int: ...


@dataclass(eq=False)
class RegionGuidance:
    """Guidance of one sampling run.

    Attributes:
        composition: its regions, all of them with masks, and their texts in the context.
        settings: how strongly.
        edit: of the attention, in force while it is read.
    """

    composition: Composition
    settings: GuidanceSettings
    edit: AttentionEdit
    _last: Tensor | None = None
    _going: Tensor | None = None
    _begun: bool = field(default=False)

    @property
    def _things(self) -> list[Region]:
        """The regions that guide the latent; a style has no place to be led to."""
        return [self.composition.regions[number] for number in self.composition.things]

    def step(self, backbone: Backbone, latent: Tensor, timestep: Tensor, share: float) -> Tensor:
        """The latent (B, C, h, w) to go on with."""
        if not self._begun and self.settings.renew and share < FIRST:
            latent = self._renewed(backbone, latent, timestep)
        self._begun = True
        regions = [region for region in self._things if region.counts(share) and region.own]
        if not (self.settings.guidance and share < self.settings.guide_until and regions):
            return latent
        if self._going is not None and not bool(self._going.any()):
            return latent  # it has ended, and begins no more
        gradient, losses = gradient_of(latent, lambda moved: self._losses(backbone, moved, timestep, share))
        going = torch.ones_like(losses, dtype=torch.bool) if self._going is None else self._going
        if self._last is not None and share >= LEAST_SHARE:
            going = going & (losses <= self._last)
        self._going, self._last = going, losses
        rate = self.settings.guidance * (1 - share / 2) ** 0.5
        return latent - rate * gradient * going[:, None, None, None] if bool(going.any()) else latent

    def _losses(self, backbone: Backbone, latent: Tensor, timestep: Tensor, share: float) -> Tensor:
        """(B,), over all regions."""
        texts, own = self._maps(backbone, latent, timestep, bool(self.settings.constrain))
        total = torch.zeros(len(latent), device=latent.device)
        for region, maps in zip(self._things, texts, strict=True):
            weight = region.counts(share)
            if not weight or maps is None or region.mask is None:
                continue
            grid = (maps.shape[-2], maps.shape[-1])
            mask = mask_on(region.mask, grid).to(latent.device)
            box = box_of(mask)
            for place in range(maps.shape[1]):
                near = enhancement(maps[:, place], mask, box)
                total = total + weight * (near + self.settings.fill * filling(maps[:, place], mask)) / maps.shape[1]
            if own is not None and own.shape[-1] == mask.numel():
                total = total + weight * self.settings.constrain * straying(own, mask, box)
        return total

    def _maps(
        self, backbone: Backbone, latent: Tensor, timestep: Tensor, read_self: bool
    ) -> tuple[list[Tensor | None], Tensor | None]:
        """Of each thing the attention (B, W, h, w) to the W words of its own text; and self-attention (B, n, n)."""
        size = (latent.shape[-2], latent.shape[-1])
        cross = reading_sites(backbone, size, self.settings.cells)
        own = reading_sites(backbone, size, self.settings.cells, "self") if read_self else ()
        wanted = {site.name for site in (*cross, *own)}
        sites = tuple(site for site in backbone.attention_sites() if site.name in wanted)
        texts: list[list[Tensor]] = [[] for _ in self._things]
        pictures: list[Tensor] = []

        def tap(call: AttentionCall) -> None:
            if call.kind == "self":
                pictures.append(head_mean(call.query, call.key, call.scale))

        def edit(inputs: AttentionInputs) -> Tensor | EditedOutput | None:
            if inputs.call.site in cross:
                for found, region in zip(texts, self._things, strict=True):
                    if region.own:
                        found.append(self._map_of(inputs, region))
            return self.edit(inputs)

        read_attention(backbone, latent, timestep, self.composition.conditioning, sites, tap, edit)
        means = [smoothed(torch.stack(found).mean(0), BESIDE) if found else None for found in texts]
        return means, torch.stack(pictures).mean(0) if pictures else None

    def _map_of(self, inputs: AttentionInputs, region: Region) -> Tensor:
        """The attention (B, W, h, w) of one layer to the words of a region's own text, under the region's LoRA."""
        call, place = inputs.call, (inputs.call.site.name, "key")
        key = call.key[:, :, region.columns]
        if place in region.adapter:
            rows = self.composition.conditioning.context[:, region.columns]  # (1, l, D)
            key = key + added(rows, region.adapter[place], key)
        attention = head_mean(queries(inputs, region.adapter), key, call.scale)  # (B, h*w, l)
        words = [word - region.columns.start for word in region.own]
        return attention[..., words].transpose(1, 2).unflatten(2, call.grid)

    @torch.no_grad()
    def _renewed(self, backbone: Backbone, latent: Tensor, timestep: Tensor) -> Tensor:
        """The latent with, in each region, that part of it which the region's words attend to most."""
        texts, _ = self._maps(backbone, latent, timestep, False)
        renewed = latent.clone()
        for region, maps in zip(self._things, texts, strict=True):
            if maps is None or region.mask is None or not region.counts(0.0):
                continue
            grid = (maps.shape[-2], maps.shape[-1])
            top, left, bottom, right = box_of(mask_on(region.mask, grid))
            if (bottom - top, right - left) == grid:
                continue  # a region of the whole picture has its noise already
            scale = -(-latent.shape[-2] // grid[0])
            height, width = (bottom - top), (right - left)
            for row in range(len(latent)):
                y, x = best_window(maps[row].sum(0), (height, width))
                there = latent[row, :, y * scale : (y + height) * scale, x * scale : (x + width) * scale]
                here = renewed[row, :, top * scale : bottom * scale, left * scale : right * scale]
                rows, columns = min(there.shape[1], here.shape[1]), min(there.shape[2], here.shape[2])
                here[:, :rows, :columns] = there[:, :rows, :columns]
        axes = (1, 2, 3)
        mean, spread = renewed.mean(axes, keepdim=True), renewed.std(axes, keepdim=True)
        return (renewed - mean) / spread * latent.std(axes, keepdim=True) + latent.mean(axes, keepdim=True)
