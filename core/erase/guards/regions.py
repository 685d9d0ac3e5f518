"""Where a concept is in a picture: the cells that attend to its text, and in which that text is right.

Where: the cross-attention to the concept's tokens, spread along self-attention (:mod:`...masks.words`). Whether it is
there at all, attention does not say: it goes to the name of a thing that is not in the picture as well. But a text
that is true of a picture lowers the error of denoising it (Li et al., "Your Diffusion Model is Secretly a Zero-Shot
Classifier", ICCV 2023, arXiv 2303.16203, eq. 5). With ``n`` what the model is asked for, and ``e_c`` and ``e_a`` what
it says with the concept's text and with its anchor's, the gain and the change of a cell are

    g = ||e_a - n||^2 - ||e_c - n||^2 ,    d = ||e_c - e_a||^2 ,

averaged over a few noises and smoothed. Ours: the presence of the concept is ``r^2 g / d`` in the cell with the
highest ``r^2 g``, ``r`` being the relevance of the concept in 0..1 that attention gives; and cells in which ``g`` is
far below 0 are left out, since another thing is there. On 16 pictures of development objects of the lab the presence
was 0.49 and more for the things in them, and 0.24 and less for others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...attention.resize import resize_maps
from ...backbone import Backbone
from ...masks.words import PRESETS as WORDS
from ...masks.words import attention_in, spread
from ...schedule import timestep_of_noise
from ...settings import Settings, setting
from .guard import Guarded


@dataclass(frozen=True)
class RegionSettings(Settings):
    """How concepts are found. Raises ``ValueError`` for values outside their range."""

    present: float = setting(0.35, "Presence from which a concept counts as in the picture; below 0 in every picture.")
    threshold: float = setting(0.4, "Relevance from which a cell belongs to the concept, 0 to 1.", least=0, most=1)
    against: float = setting(
        0.25,
        "Share of the change by which the concept's text may raise the error in a cell of its region, 0 or more; the "
        "cells of other things, in which it raises the error by more, are left out.",
        least=0,
    )
    spread: int = setting(1, "How many of the latent's cells the region is widened by.", least=0, most=1024)
    smooth: float = setting(
        0.15,
        "Width of the smoothing by which presence is read, as a share of the picture's shorter side.",
        least=0,
        most=1,
    )
    share: float = setting(
        0.5, "Share of noise in the picture that the model is asked about, above 0 and below 1.", above=0, most=0.99
    )
    draws: int = setting(4, "How many noises are asked about.", least=1)

    @property
    def passes(self) -> int:
        """Passes of the model that finding one concept takes."""
        return 2 * self.draws


REGIONS: Mapping[str, RegionSettings] = {"paper": RegionSettings(spread=3), "small": RegionSettings()}
"""``paper`` for latents of about 64x64 cells, ``small`` for the lab model's 16x16; all values are ours."""


@dataclass(frozen=True, eq=False)
class Region:
    """Where a concept is.

    Attributes:
        cells: (B, h, w) bool, all False where it is not in the picture.
        presence: (B,) how surely it is.
        score: (B, h, w) how much the concept's text says of each cell: ``r^2 g``.
    """

    cells: Tensor
    presence: Tensor
    score: Tensor


@torch.no_grad()
def find_region(
    backbone: Backbone, concept: Guarded, clean: Tensor, settings: RegionSettings, generator: torch.Generator
) -> Region:
    """Where a concept is in the latent of one picture.

    Args:
        backbone: the model that is asked, from which nothing was erased.
        concept: what is looked for, and the anchor that it is compared with, as a rule the empty text.
        clean: (1, C, h, w) scaled latent of the picture.
        settings: how to look.
        generator: of the noise, drawn on the CPU.
    """
    relevance, gain, change = readings(backbone, concept, clean, settings, generator)
    gain, change = (smoothed(one, odd_width(settings.smooth, clean)) for one in (gain, change))  # (1, h, w) each
    score = relevance.square() * gain  # (1, h, w)
    best = score.flatten().argmax()
    presence = score.flatten()[best] / change.flatten()[best].clamp_min(1e-12)
    cells = (relevance >= settings.threshold) & (gain >= -settings.against * change) & (presence >= settings.present)
    return Region(widened(cells, settings.spread), presence[None], score)


def without_preserved(region: Region, preserved: Sequence[Region]) -> Tensor:
    """The cells (B, h, w) bool of a region that belong to nothing preserved: a cell belongs to the thing whose text
    says most of it. Whether a preserved thing is surely in the picture is not asked."""
    cells = region.cells
    for other in preserved:
        cells = cells & ~(other.score > region.score.clamp_min(0))
    return cells


def readings(
    backbone: Backbone, concept: Guarded, clean: Tensor, settings: RegionSettings, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Relevance in 0..1, gain and change (1, h, w) each of every cell, see above and :func:`find_region`."""
    schedule = backbone.schedule
    time = timestep_of_noise(schedule, settings.share).to(clean.device)  # (1,)
    noises = [torch.randn(clean.shape, generator=generator).to(clean) for _ in range(settings.draws)]
    noisy, targets = [schedule.add_noise(clean, n, time) for n in noises], [schedule.target(clean, n) for n in noises]
    named: list[Tensor] = []

    def passes() -> None:
        named.extend(backbone.predict_target(one, time, concept.conditioning) for one in noisy)

    groups = [concept.places] + ([] if concept.tokens.start is None else [(concept.tokens.start,)])
    size = (clean.shape[-2], clean.shape[-1])
    attention = attention_in(passes, backbone, size, groups, WORDS["small"], concept.tokens.start is not None)
    relevance = spread(attention.cross, attention.affinity)[:1]  # (1, h', w')
    others = [backbone.predict_target(one, time, concept.anchor) for one in noisy]
    gain, change = torch.zeros_like(clean[:, 0]), torch.zeros_like(clean[:, 0])
    for with_name, without, target in zip(named, others, targets, strict=True):
        gain = gain + ((without - target).square() - (with_name - target).square()).mean(1) / settings.draws
        change = change + (with_name - without).square().mean(1) / settings.draws
    return resize_maps(relevance[None], size, "bilinear")[0].to(gain), gain, change


def odd_width(share: float, latent: Tensor) -> int:
    """A share of the shorter side of latents (B, C, h, w) as an odd number of cells, 1 or more."""
    return 2 * round(share * min(latent.shape[-2:]) / 2) + 1


def smoothed(maps: Tensor, width: int) -> Tensor:
    """Maps (B, h, w), every cell the mean over a window that is cut at the edges."""
    return F.avg_pool2d(maps[:, None], width, 1, width // 2, count_include_pad=False)[:, 0]


def widened(cells: Tensor, by: int) -> Tensor:
    """Cells (B, h, w) bool and all that are at most ``by`` cells from one, along rows and columns."""
    return F.max_pool2d(cells[:, None].float(), 2 * by + 1, 1, by)[:, 0] > 0.5


def filled(latent: Tensor, region: Tensor) -> Tensor:
    """Latents (B, C, h, w) whose cells in a region (B, h, w) bool are what lies around it, led inwards cell by cell;
    where the region is all there is, they are 0."""
    known = (~region[:, None]).to(latent)  # (B, 1, h, w)
    value = latent * known
    for _ in range(max(latent.shape[-2:])):
        near = F.avg_pool2d(known, 3, 1, 1)
        spread = F.avg_pool2d(value, 3, 1, 1) / near.clamp_min(torch.finfo(latent.dtype).tiny)
        value = torch.where(known > 0, value, torch.where(near > 0, spread, value))
        known = (near > 0).to(known)
    return torch.where(region[:, None], value, latent)
