"""IRECE (Weng et al., WACV 2026, arXiv 2512.22877): the cross-attention of the un-erased model shows where a thing is,
and the latent is perturbed there in early steps, so that what an inverted latent holds of it is lost.

The paper's thresholds, steps and noise are not known to us; those here are ours, and not tuned.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...attention.probabilities import call_mean
from ...attention.resize import resize_maps
from ...backbone import AttentionCall, Backbone
from ...settings import setting
from .guard import Guard, Guarded, GuardRun, GuardSettings, GuardTask, slope_of


@dataclass(frozen=True)
class RegionSettings(GuardSettings):
    """Settings of IRECE."""

    present: float = setting(
        0.25, "Attention to the concept somewhere from which it is taken to be in the picture.", least=0, most=1
    )
    threshold: float = setting(
        0.4, "Share of its highest attention from which a cell belongs to the concept.", least=0, most=1
    )
    noise: float = setting(0.7, "Share of the variance in the region that is drawn anew, 0 to 1.", least=0, most=1)
    spread: int = setting(1, "How many cells the region is widened by.", least=0, most=1024)

    @property
    def cost(self) -> str:
        return "one pass of the original model a step for each concept, while the guard acts"


@dataclass(eq=False)
class _Run(GuardRun):
    moves = True
    task: GuardTask[RegionSettings]
    _generator: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._generator = torch.Generator().manual_seed(self.task.seed)

    def perturbed(self, latent: Tensor, level: Tensor) -> Tensor:
        if not self.task.acts(level):
            return latent
        region = torch.zeros_like(latent[:, :1])  # (B, 1, h, w)
        for concept in self.task.concepts:
            region = torch.maximum(region, concept_region(self.task, concept, latent, level))
        fresh = torch.randn(latent.shape, generator=self._generator).to(latent)
        share = min(self.task.settings.noise * self.task.strength, 1.0)
        scale = latent.square().mean((1, 2, 3), keepdim=True).sqrt()  # the spread of a latent stays what it was
        drawn = (1 - share) ** 0.5 * latent + share**0.5 * scale * fresh
        return latent + region * (drawn - latent)


def concept_region(task: GuardTask[RegionSettings], concept: Guarded, latent: Tensor, level: Tensor) -> Tensor:
    """(B, 1, h, w) in 0..1: where a concept is in latents, all 0 where it is not in the picture."""
    heat = concept_heat(task.original, concept, latent, level)
    settings = task.settings
    highest = heat.amax((1, 2, 3), keepdim=True)
    inside = ((heat > settings.threshold * highest) & (highest > settings.present)).to(latent.dtype)
    if settings.spread:
        inside = torch.nn.functional.max_pool2d(inside, 2 * settings.spread + 1, 1, settings.spread)
    return torch.nn.functional.avg_pool2d(inside, 3, 1, 1, count_include_pad=False)  # soft edges


def concept_heat(backbone: Backbone, concept: Guarded, latent: Tensor, level: Tensor) -> Tensor:
    """(B, 1, h, w): the attention of latents to a concept in its own text, averaged over heads and the finer layers."""
    size = (latent.shape[-2], latent.shape[-1])
    sites = [site for site in backbone.attention_sites() if site.reads("cross") and site.downscale <= FINEST]
    maps: list[Tensor] = []

    def listen(call: AttentionCall) -> None:
        if call.kind != "cross":
            return
        means = call_mean(call)[..., list(concept.places)].sum(-1)  # (B, N)
        maps.append(resize_maps(means.unflatten(1, call.grid).unsqueeze(1), size, "bilinear"))

    with backbone.tap_attention(listen, sites):
        slope_of(backbone, concept.conditioning, latent, level)
    return torch.stack(maps).mean(0).to(latent)


FINEST = 4
"""Latent cells for each cell of the coarsest attention that is read, along a side."""


def check(backbone: Backbone) -> None:
    """Raise ``ValueError`` for a model whose attention to words is in no layer fine enough."""
    if not any(site.reads("cross") and site.downscale <= FINEST for site in backbone.attention_sites()):
        raise ValueError(f"this model ({backbone.family}) has no attention to words that is fine enough for IRECE")


PRESETS: Mapping[str, RegionSettings] = {
    "paper": RegionSettings(end=0.5),
    "small": RegionSettings(end=0.5, present=0.25, threshold=0.4, noise=1.0),
}

METHOD = Guard(
    name="irece",
    title="IRECE",
    help="Finds the concept by the attention of the un-erased model and draws new noise there in early steps.",
    presets=PRESETS,
    begin=_Run,
    check=check,
    note="Made for models from which the concept was erased: give the model before the erasure as original.",
)
