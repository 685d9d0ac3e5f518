"""Reading the model's attention before a step, and moving the latent by the gradient of a loss on it."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ...attention.ending import run_to
from ...attention.selection import Grid, Kind
from ...backbone import AttentionCall, AttentionEdit, AttentionSite, Backbone, Conditioning
from ..composition import Composition, Region

LatentStep = Callable[[Backbone, Tensor, Tensor], Tensor]
"""Before a step: a model, its latent (B, C, h, w) and timesteps (B,) long to the latent to go on with. The same tensor
means that nothing is to change."""

LossOf = Callable[[Tensor], Tensor]
"""A latent (B, C, h, w) to the loss (B,) of each picture."""


def reading_sites(backbone: Backbone, latent_size: Grid, cells: int, kind: Kind = "cross") -> tuple[AttentionSite, ...]:
    """The layers of the one grid whose shorter side is nearest to so many cells, in the order they run."""
    there = [site for site in backbone.attention_sites() if site.reads(kind)]

    def distance(site: AttentionSite) -> tuple[float, int]:
        return abs(math.log2(min(site.grid(latent_size)) / cells)), site.downscale

    nearest = min(map(distance, there))
    return tuple(site for site in there if distance(site) == nearest)


def read_attention(
    backbone: Backbone,
    latent: Tensor,
    timestep: Tensor,
    conditioning: Conditioning,
    sites: tuple[AttentionSite, ...],
    tap: Callable[[AttentionCall], None],
    edit: AttentionEdit | None = None,
) -> None:
    """One pass that ends where the last of the sites has been read.

    Args:
        backbone: the model.
        latent: (B, C, h, w).
        timestep: (B,) long.
        conditioning: one row, which is read by all pictures.
        sites: in the order they run.
        tap: called beside each of them.
        edit: of the attention in this pass.
    """
    with backbone.tap_attention(tap, sites):
        run_to(backbone, sites[-1], latent, timestep, beside(conditioning, latent), edit)


def beside(conditioning: Conditioning, latent: Tensor) -> Conditioning:
    """One row of text, repeated for each of the latents (B, C, h, w) and where they are."""
    moved = {name: value.to(latent.device) for name, value in conditioning.extras.items()}
    return Conditioning(conditioning.context.to(latent.device), moved).of_rows(len(latent))


NO_GRADIENTS = (
    "this model passes no gradients, by which the method moves the latent; load it in 16 or 32 bits and without a "
    "compiled or quantised attention, or choose a method that needs none, such as attention_couple or t2i_zero"
)


def gradient_of(latent: Tensor, loss_of: LossOf) -> tuple[Tensor, Tensor]:
    """The gradient (B, C, h, w) of each picture's loss by its latent, and the losses (B,).

    Raises ``ValueError`` where the model gives no gradients, or such as are not finite.
    """
    with torch.inference_mode(False), torch.enable_grad():
        start = latent.detach().clone().requires_grad_()
        losses = loss_of(start)
        if not losses.requires_grad:
            raise ValueError(NO_GRADIENTS)
        try:
            (gradient,) = torch.autograd.grad(losses.sum(), start)
        except RuntimeError as error:
            if "autograd formula" in str(error):  # so say kernels without a gradient, and not before
                raise ValueError(NO_GRADIENTS) from error
            raise
    if not bool(torch.isfinite(gradient).all()):
        raise ValueError(
            "the gradients by which the method moves the latent are not finite; run the model in 32 bits, or choose "
            "attention_couple, which needs none"
        )
    return gradient.to(latent.dtype), losses.detach()


def steering(step: LatentStep) -> LatentStep:
    """A step of a method that takes gradients, also where a sampler runs in inference mode."""

    def before(backbone: Backbone, latent: Tensor, timestep: Tensor) -> Tensor:
        with torch.inference_mode(False), torch.no_grad():
            held = latent.detach().clone()
            moved = step(backbone, held, timestep.clone())
        return latent if moved is held else moved

    return before


def writable(composition: Composition) -> Composition:
    """The composition over tensors that autograd may keep, also where it was made in inference mode."""
    with torch.inference_mode(False):
        given = composition.conditioning
        extras = {name: value.clone() for name, value in given.extras.items()}
        regions = tuple(map(_writable_region, composition.regions))
        reference = None if composition.reference is None else composition.reference.clone()
        text = Conditioning(given.context.clone(), extras)
        return replace(composition, conditioning=text, regions=regions, reference=reference)


def _writable_region(region: Region) -> Region:
    mask = None if region.mask is None else region.mask.clone()
    adapter = {place: change.clone() for place, change in region.adapter.items()}
    layers = {name: change.clone() for name, change in region.layers.items()}
    return replace(region, mask=mask, adapter=adapter, layers=layers)
