"""Concepts whose masks are given, with attention targets from the model."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from torch import Tensor

from ..backbone import Backbone
from ..masks.from_masks import concepts_from_masks
from ..types import Concepts
from .parts.observation import OnStep, observe, report_end
from .parts.settings import PAPER, LocalizeSettings


def localize_masks(
    backbone: Backbone,
    image: Tensor,
    masks: Tensor,
    settings: LocalizeSettings = PAPER,
    seed: int = 0,
    names: Sequence[str] | None = None,
    target: Literal["attention", "mask"] = "attention",
    on_step: OnStep | None = None,
) -> Concepts:
    """Concepts with masks that are given, and targets from the model's attention: see :func:`concepts_from_masks`."""
    seen = observe(backbone, image, settings, seed, on_step)
    found = concepts_from_masks(masks, seen.picture_size, seen.grid, seen.attention, names, target, seen.covered)
    report_end(settings, on_step)
    return replace(found, outline=settings.outline)
