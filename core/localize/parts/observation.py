"""Observing a picture: the model denoises it once, or a few times with noise, and its attention is collected
(ConceptExpress, arXiv 2407.07077, section 3.2)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...attention.ending import run_to
from ...attention.record import AttentionRecorder
from ...attention.selection import Grid, Selection
from ...backbone import AttentionSite, Backbone
from ...masks.upsample import covered_size
from ...pictures import check_picture
from ...schedule import timestep_of_noise
from ...steps import OnStep
from .aggregate import aggregate_self_attention, clustering_grid, grid_weights, self_grids
from .neighbours import cell_colours
from .saliency import combine_saliency, end_of_text_saliency
from .settings import LocalizeSettings


@dataclass(frozen=True, eq=False)
class Observation:
    """What the model's attention says of a picture; tensors are where the model is, so that no large map travels.

    Attributes:
        attention: (h*w, h*w) float32, aggregated self-attention, rows sum to one.
        saliency: (h, w) float, higher for objects.
        colours: (h*w, 3) float, the mean colour of each cell.
        grid: (h, w).
        picture_size: (H, W) in pixels.
        notes: what had to be decided, for people.
        covered: (H, W) of the centred part of the picture that the grid stands for; None is all of it.
    """

    attention: Tensor
    saliency: Tensor
    colours: Tensor
    grid: Grid
    picture_size: tuple[int, int]
    notes: tuple[str, ...] = ()
    covered: tuple[int, int] | None = None


@torch.no_grad()
def observe(
    backbone: Backbone,
    image: Tensor,
    settings: LocalizeSettings,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Observation:
    """Let the model denoise the picture, and collect its attention; arguments as for :func:`.pipeline.localize`."""
    check_picture(image)
    latent = backbone.encode_image(image)
    latent_size = (latent.shape[-2], latent.shape[-1])
    sites = [site for site in backbone.attention_sites() if settings.layers is None or site.name in settings.layers]
    self_recorder = AttentionRecorder(_self_selection(sites, latent_size, settings))
    selection, notes = _cross_selection(sites, latent_size, settings, backbone.tokenize(settings.prompt).end)
    cross_recorder = AttentionRecorder(selection)
    wanted = (self_recorder.selection, selection)
    read = [site for site in sites if any(one.expects(site, latent_size) for one in wanted)]
    with self_recorder.recording(backbone), cross_recorder.recording(backbone):
        denoise(backbone, latent, settings, seed, on_step, read[-1])
    maps, grid = self_recorder.maps(), clustering_grid(latent_size, settings.max_cells)
    attention = aggregate_self_attention(
        {g: rows[0] for g, rows in maps.self_attention.items()},
        grid,
        grid_weights(maps.self_layers, grid, settings),
        settings.renormalise,
    )
    columns = {g: m[0, 0] for g, m in cross_recorder.maps().cross.items()} if selection.grids else {}
    end_of_text = end_of_text_saliency(columns, grid) if columns else None
    saliency, decided = combine_saliency(end_of_text, attention, grid, settings)
    size = (image.shape[-2], image.shape[-1])
    covered = covered_size(size, backbone.latent_downscale)
    colours = cell_colours(image, grid, covered).float().to(attention.device)  # (h*w, 3)
    return Observation(attention, saliency, colours, grid, size, notes + decided, covered)


def denoise(
    backbone: Backbone,
    latent: Tensor,
    settings: LocalizeSettings,
    seed: int,
    on_step: OnStep | None,
    last: AttentionSite,
) -> None:
    """Run the denoiser over a latent (1, C, h, w), once as it is or with each draw of noise, as far as ``last``."""
    conditioning = backbone.encode_text([settings.prompt])
    schedule = backbone.schedule
    if settings.timestep >= schedule.steps:
        raise ValueError(f"timestep must be below the model's {schedule.steps}, got {settings.timestep}")
    timestep = torch.tensor([settings.timestep])
    if settings.noise is not None:
        timestep = timestep_of_noise(schedule, settings.noise)
    timestep = timestep.to(latent.device)
    generator, passes = torch.Generator().manual_seed(seed), settings.passes
    for done in range(passes):
        if on_step is not None:
            on_step(done, passes + 1)
        noisy = latent
        if settings.noise_draws or settings.noise is not None:
            noise = torch.randn(latent.shape, generator=generator).to(latent)
            noisy = schedule.add_noise(latent, noise, timestep)
        run_to(backbone, last, noisy, timestep, conditioning)
    if on_step is not None:
        on_step(passes, passes + 1)


def report_end(settings: LocalizeSettings, on_step: OnStep | None) -> None:
    """Report that everything is done, the model passes and what came after them."""
    total = settings.passes + 1
    if on_step is not None:
        on_step(total, total)


def _self_selection(sites: Sequence[AttentionSite], latent_size: Grid, settings: LocalizeSettings) -> Selection:
    grids = self_grids((site.grid(latent_size) for site in sites if site.reads("self")), settings)
    return Selection(kinds=("self",), grids=grids, sites=settings.layers)


def _cross_selection(
    sites: Sequence[AttentionSite], latent_size: Grid, settings: LocalizeSettings, end: int
) -> tuple[Selection, tuple[str, ...]]:
    """The end-of-text columns of down and up layers, and notes; no grids when the model or the settings have none."""
    cross = [site for site in sites if site.reads("cross") and site.stage != "mid"]
    notes: tuple[str, ...] = ()
    if settings.saliency in ("border", "none") or not cross:
        cross = []
    elif settings.cross_downscale is not None:
        cross, notes = _at_downscale(cross, settings.cross_downscale)
    else:
        cross, notes = _at_least(cross, latent_size, settings.cross_least_side)
    grids = tuple({site.grid(latent_size) for site in cross})
    chosen = Selection(("cross",), stages=("down", "up"), grids=grids, positions=(end,), sites=settings.layers)
    return chosen, notes


def _at_downscale(sites: list[AttentionSite], downscale: int) -> tuple[list[AttentionSite], tuple[str, ...]]:
    nearest = min((site.downscale for site in sites), key=lambda d: abs(math.log(d / downscale)))
    chosen = [site for site in sites if site.downscale == nearest]
    if nearest == downscale:
        return chosen, ()
    return chosen, (
        f"This model does not attend to the text at 1/{downscale} of the latent's size; 1/{nearest} was read.",
    )


def _at_least(sites: list[AttentionSite], latent_size: Grid, side: int) -> tuple[list[AttentionSite], tuple[str, ...]]:
    chosen = [site for site in sites if min(site.grid(latent_size)) >= side]
    if chosen:
        return chosen, ()
    finest = min(site.downscale for site in sites)
    return [site for site in sites if site.downscale == finest], (
        f"The picture is small for this model: what stands out was read from fewer than {side} cells a side.",
    )
