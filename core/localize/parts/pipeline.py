"""From a picture to its concepts: observe it, even out the attention of neighbours, cluster."""

from dataclasses import replace

from torch import Tensor

from ...backbone import Backbone
from ...types import Concepts
from .neighbours import even_out
from .observation import Observation, OnStep, observe, report_end
from .settings import PAPER, LocalizeSettings
from .stages import concepts_from_attention


def localize(
    backbone: Backbone,
    image: Tensor,
    settings: LocalizeSettings = PAPER,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Concepts:
    """The concepts of a picture, named ``1``, ``2``, ... from the most to the least salient.

    Args:
        backbone: needs its picture encoder, text encoder and denoiser.
        image: (1, 3, H, W) in 0..1, any H and W of at least one latent cell.
        settings: ``PAPER`` for latents of about 64x64 cells, ``SMALL_GRID`` for the lab's 16x16.
        seed: random seed of the noise, where the settings ask for any.
        on_step: see :data:`.observation.OnStep`.

    Raises:
        ValueError: for pictures of another shape, with NaN or infinite values, or smaller than one latent cell.
    """
    seen = observe(backbone, image, settings, seed, on_step)
    found = localize_observed(seen, settings)
    report_end(settings, on_step)
    return found


def localize_observed(seen: Observation, settings: LocalizeSettings = PAPER) -> Concepts:
    """:func:`localize` for a picture whose attention is collected already."""
    attention = seen.attention
    if settings.neighbour_reach:
        attention = even_out(attention, seen.colours, seen.grid, settings.neighbour_reach, settings.neighbour_contrast)
    found = concepts_from_attention(attention, seen.saliency, settings, seen.picture_size)
    # On the CPU, where the masks and pictures of people lie.
    masks, targets, scores = found.masks.cpu(), found.targets.cpu(), found.scores.cpu()
    notes = seen.notes + found.notes
    return replace(found, masks=masks, targets=targets, scores=scores, notes=notes, covered=seen.covered)
