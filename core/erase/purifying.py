"""Pictures from which concepts are taken out: noised, and denoised again where a concept is.

A picture that is noised and denoised loses what its noise covers (Meng et al., "SDEdit", ICLR 2022, arXiv 2108.01073;
Nie et al., "Diffusion Models for Adversarial Purification", ICML 2022, arXiv 2205.07460). The model that denoises is
one from which the concept was erased, or a guard keeps the concept out. What lies outside of the region in which the
model before the erasure finds the concept is put back at the noise level of every step, so that it stays (Lugmayr et
al., "RePaint", CVPR 2022, arXiv 2201.09865, eq. 8). Erased models draw a concept again from the noise that they find
for a picture of it (Weng et al., arXiv 2512.22877); new noise in the region takes this way from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from ..backbone import Backbone
from ..inversion import OnStep, Trajectory
from ..masks.upsample import centre, covered_size, to_pixels
from ..sampling import starting_noise
from ..steps import of_part
from .guards.guard import Guarded, Guarding, GuardRun, guarded_step
from .guards.regions import Region, RegionSettings, filled, find_region


@dataclass(frozen=True, eq=False)
class PurifyTask:
    """What is purified, and how.

    Attributes:
        path: the model that draws, its prompt and guidance.
        pictures: (B, 3, H, W) in 0..1.
        regions: (B, h, w) bool on the latent's cells, in which the concept is.
        levels: (n + 1,) falling noise levels, 0 at the end; the first is how much noise is added.
        seed: of the noise.
        inverted: the noise is found by inversion, and only the region's is new; otherwise all of it is new.
        guard: what corrects the run; None for nothing.
        passes: of an inversion, see :meth:`~..inversion.Trajectory.invert`.
    """

    path: Trajectory
    pictures: Tensor
    regions: Tensor
    levels: Tensor
    seed: int = 0
    inverted: bool = False
    guard: Guarding | None = None
    passes: int = 3


def regions_of(
    backbone: Backbone,
    latents: Tensor,
    concepts: Sequence[Guarded],
    settings: RegionSettings,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> list[Region]:
    """Where each of the concepts is in scaled latents (B, C, h, w), asked of a model from which nothing was erased.

    Each picture has noise of its own, so that what is found in it does not depend on its neighbours. ``on_step`` is
    called after each picture with the finished and the total number, over all concepts.
    """

    def found_in(number: int, row: int) -> Region:
        concept, generator = concepts[number], torch.Generator().manual_seed((seed + row) % 2**63)
        region = find_region(backbone, concept, latents[row : row + 1], settings, generator)
        if on_step is not None:
            on_step(number * len(latents) + row + 1, len(concepts) * len(latents))
        return region

    rows = [[found_in(number, row) for row in range(len(latents))] for number in range(len(concepts))]
    return [_joined(row) for row in rows]


def _joined(rows: Sequence[Region]) -> Region:
    """Regions of single pictures as one of all of them."""
    return Region(
        torch.cat([row.cells for row in rows]),
        torch.cat([row.presence for row in rows]),
        torch.cat([row.score for row in rows]),
    )


@torch.no_grad()
def purify(task: PurifyTask, on_step: OnStep | None = None) -> Tensor:
    """Pictures (B, 3, H, W) in 0..1 on the CPU without the concept; those whose region is empty as they are, and in the
    others every pixel further than a cell from the region.

    Args:
        task: what is purified.
        on_step: called after each step with the finished and the total number; what it raises stops the run.

    Raises ``ValueError`` for regions of another size than the latents.
    """
    purified = task.pictures.float().cpu().clone()
    rows = task.regions.flatten(1).any(1).nonzero().flatten().tolist()
    for number, row in enumerate(rows):
        purified[row] = _one(task, row, of_part(on_step, number, len(rows)))
    return purified


def _one(task: PurifyTask, row: int, on_step: OnStep | None) -> Tensor:
    """(3, H, W): one picture, from noise of its own, so that it does not depend on its neighbours."""
    backbone = task.path.backbone
    picture = task.pictures[row : row + 1]
    clean = backbone.encode_image(picture)  # (1, C, h, w)
    region = task.regions[row : row + 1, None].to(clean.device)  # (1, 1, h, w)
    if region.shape[-2:] != clean.shape[-2:]:
        raise ValueError(f"regions must have the latent's {tuple(clean.shape[-2:])} cells, got {tuple(region.shape)}")
    drawn = backbone.decode_latent(_redrawn(task, clean, region, task.seed + row, on_step))
    return pasted(picture, drawn, region[:, 0], backbone.latent_downscale)[0]


def _redrawn(task: PurifyTask, clean: Tensor, region: Tensor, seed: int, on_step: OnStep | None) -> Tensor:
    """Latents (1, C, h, w) drawn anew within a region (1, 1, h, w) bool."""
    levels, path = task.levels.to(clean), task.path
    noise = starting_noise(tuple(clean.shape), seed % 2**63).to(clean)
    if task.inverted:
        noise = torch.where(region, noise, _inverted_noise(task, clean, levels))
    guard = GuardRun() if task.guard is None else task.guard(path.backbone)
    latent = path.noised(filled(clean, region[:, 0]), noise, levels[0])  # nothing of the concept is left to be drawn
    for step, (level, following) in enumerate(pairwise(levels), 1):
        latent, slope = guarded_step(guard, path, latent, level)
        latent = latent + (following - level) * slope
        latent = torch.where(region, latent, path.noised(clean, noise, following))
        if on_step is not None:
            on_step(step, len(levels) - 1)
    guard.finished(latent)
    return latent


def pasted(picture: Tensor, drawn: Tensor, region: Tensor, cell: int) -> Tensor:
    """Pictures (B, 3, H, W) on the CPU: ``drawn`` (B, 3, H', W') inside a region (B, h, w) bool, fading out over half a
    cell around it, and the picture elsewhere. ``drawn`` covers the centre of the picture where its sides are no
    multiples of a cell's pixels."""
    size = (picture.shape[-2], picture.shape[-1])
    covered = covered_size(size, cell)
    soft = F.interpolate(region[:, None].float(), size=covered, mode="bilinear")  # 0.5 where two cells meet
    share = (2 * soft).clamp(max=1).cpu()  # (B, 1, H', W')
    result = picture.float().cpu().clone()
    inside = centre(result, covered)  # a view
    inside.copy_(torch.lerp(inside, drawn.float().clamp(0, 1).cpu(), share))
    return result


def cells_of(masks: Tensor, picture_size: tuple[int, int], cell: int) -> Tensor:
    """(N, h, w) bool: the latent's cells that masks (N, H', W') in 0..1 touch, which are stretched to the picture."""
    covered = covered_size(picture_size, cell)
    whole = to_pixels(masks, picture_size, "nearest")
    return F.max_pool2d(centre(whole, covered)[:, None], cell)[:, 0] > 0.5


def _inverted_noise(task: PurifyTask, clean: Tensor, levels: Tensor) -> Tensor:
    """The noise (1, C, h, w) in the latents from which the model draws these without guidance."""
    path = Trajectory(task.path.backbone, task.path.positive)
    start = path.invert(clean, levels, task.passes)
    return (start - (1 - levels[0]) * clean if path.flow else start - clean) / levels[0]
