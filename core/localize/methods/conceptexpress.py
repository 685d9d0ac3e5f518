"""ConceptExpress stage 1: the concepts of one picture, found without words and without a number.

"ConceptExpress: Harnessing Diffusion Models for Single-image Unsupervised Concept Extraction", ECCV 2024,
arXiv 2407.07077, section 3.2. The model denoises the picture once (or a few times with noise), its self-attention is
clustered, and the end-of-text token's map separates objects from background: see :mod:`..parts.pipeline`.
"""

from ...types import Concepts
from ..localizer import Localizer, LocalizeTask
from ..parts.pipeline import localize
from ..parts.settings import PAPER, SMALL_GRID, LocalizeSettings


def _find(task: LocalizeTask[LocalizeSettings]) -> Concepts:
    return localize(task.backbone, task.picture, task.settings, task.seed, task.on_step)


METHOD = Localizer(
    name="conceptexpress",
    title="ConceptExpress",
    help="Clusters self-attention, drops the background and merges parts that belong together; finds by "
    "itself how many there are.",
    presets={"paper": PAPER, "small": SMALL_GRID},
    find=_find,
)
"""Presets: ``paper`` for latents of about 64x64 cells, ``small`` for the lab model's 16x16."""
