"""DiffSeg: segments of the whole picture, the background's too, unless saliency drops them.

"Diffuse, Attend, and Segment: Unsupervised Zero-Shot Segmentation using Stable Diffusion", CVPR 2024,
arXiv 2308.12469. The algorithm is in :mod:`..parts.diffseg`; the picture is observed as ConceptExpress does it.
"""

from dataclasses import replace

from ...types import Concepts
from ..localizer import Localizer, LocalizeTask
from ..parts.pipeline import localize
from ..parts.settings import SMALL_GRID, LocalizeSettings


def _find(task: LocalizeTask[LocalizeSettings]) -> Concepts:
    return localize(task.backbone, task.picture, task.settings, task.seed, task.on_step)


METHOD = Localizer(
    name="diffseg",
    title="DiffSeg",
    help="Merges rows of self-attention that are nearly alike, which cuts the whole picture into segments.",
    presets={
        "paper": LocalizeSettings(
            timestep=300,
            per_grid=True,
            renormalise=True,
            saliency="none",
            cluster="diffseg",
            merge_threshold=0.9,
        ),
        # The published threshold, 0.9, makes one segment of everything on the lab model.
        "small": replace(
            SMALL_GRID, cluster="diffseg", merge_threshold=0.07, saliency_threshold=1.3, neighbour_reach=0.0
        ),
    },
    find=_find,
    note="merge_threshold alone decides how many segments there are.",
)
"""Presets: ``paper`` as published, which makes segments of the background too; ``small`` for the lab model."""
