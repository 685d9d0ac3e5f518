"""The regions of a composition as masks and boxes: those that are given, and those that sampling found."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ....core.attention.resize import resize_maps
from ....core.compose.composition import Composition
from ....core.messages import counted, listed, shown
from ...adapters import backbone_of, compositions_of
from ...pictures.heat_pictures import target_size
from ...shared.compositions import Composed
from ...shared.families import FAMILIES
from ..bounding_boxes import boxes_around, elements_of
from .composing import SIDE

EVERY = -1
"""In place of the number of a picture: all pictures of a batch."""


def given_places(composition: Composition, width: int, height: int) -> tuple[Tensor, Any]:
    """Masks (K, h, w) of K regions, empty where the place is not known before sampling; and the boxes around the
    others, as elements of a picture of ``width`` by ``height`` pixels."""
    regions = composition.regions
    size = next((region.mask.shape for region in regions if region.mask is not None), (SIDE, SIDE))
    masks = [torch.zeros(size) if region.mask is None else region.mask for region in regions]
    return torch.stack(masks), elements_of(masks, [region.text for region in regions], width, height)


def found_places(model: Any, samples: Tensor, picture: int) -> tuple[Tensor, Any, str]:
    """Where the regions lie of a picture that was sampled, or of all.

    Args:
        model: the MODEL of Compose Concepts.
        samples: (B, C, h, w), or (B, C, 1, h, w), what a sampler made of it.
        picture: which of these, counted from 0; :data:`EVERY` for all of them.

    Returns:
        Masks (K, H, W) in 0..1 of K regions at the size of the picture, empty where nothing was found, or (P * K, H, W)
        of all P pictures, those of the first before those of the second; the boxes around the others, by picture; and
        what was found, for people.

    Raises ``ValueError`` for a MODEL that does not compose, one whose method has no regions, before sampling, where no
    region was found, and for a picture that there is not.
    """
    composed = _composed(model)
    run, note = composed.run_of(samples)
    if run.masks is None:
        raise ValueError(
            "that run found no region: places are known once find_until of denoising is done; let the sampler go on "
            "for longer, or lower find_until in the settings of Compose Concepts"
        )
    if picture != EVERY and not 0 <= picture < len(run.samples):
        raise ValueError(
            f"the latent holds {counted(len(run.samples), 'picture')}, and picture is {picture}; count from 0 to "
            f"{len(run.samples) - 1}, or take {EVERY} for all"
        )
    size = target_size(None, samples, FAMILIES[backbone_of(model=model).family].cell)
    names = [region.text for region in composed.composition.regions]
    every: list[Tensor] = []
    boxes, lines = [], []
    for number in range(len(run.samples)) if picture == EVERY else [picture]:
        masks = run.masks[number if len(run.masks) > 1 else 0]  # (K, h, w)
        every.append(resize_maps(masks, size, "bilinear").clamp(0, 1))
        boxes += boxes_around(every[-1], names)
        lines += [f"Picture {number}:"] if picture == EVERY else []
        lines += _said(names, every[-1])
    return torch.cat(every), boxes, "\n".join([*lines, *filter(None, [note])])


def _said(names: Sequence[str], masks: Tensor) -> list[str]:
    """A line for each region (K, H, W): how much of the picture it is."""
    shares = zip(names, masks.mean((1, 2)).tolist(), masks.amax((1, 2)).tolist(), strict=True)
    return [f"{name}: {share:.0%} of the picture" if most else f"{name}: found nowhere" for name, share, most in shares]


def _composed(model: Any) -> Composed:
    """What a MODEL composes. Raises ``ValueError`` as :func:`found_places` does."""
    there = compositions_of(model)
    with_regions = [one for one in there if "regions" in one.composer.needs]
    if with_regions:
        return with_regions[-1]
    if there:
        methods = listed(shown(one.composer.title) for one in there)
        raise ValueError(f"{methods} works without regions, so it has none to give; choose a method with regions")
    raise ValueError(
        "this MODEL composes nothing: connect the MODEL of Compose Concepts; with the methods area and plain, or with "
        "the weight 0 for every concept, it returns the MODEL as it was given, and finds no places"
    )
