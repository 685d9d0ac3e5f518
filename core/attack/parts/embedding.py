"""A token learnt from pictures of a concept, as textual inversion learns it (Gal et al. 2023, arXiv 2208.01618, eq. 2).

The whole picture is denoised, and nothing but the token's vector changes.
"""

import torch
from torch import Tensor

from ...backbone import Backbone, Placeholders
from ...learn.methods.conceptexpress import METHOD, ConceptExpressSettings
from ...masks.from_masks import concepts_from_masks
from ...types import Concepts, Source
from .task import AttackTask

TOKEN = "concept"
"""What the token is called: ``<concept>`` in a sentence."""


def learn_embedding(task: AttackTask, backbone: Backbone) -> Placeholders:
    """The token that a model learns from the task's pictures."""
    settings, pictures = task.settings, task.shown()
    first, *more = [Source(one[None], whole_picture(one)) for one in pictures]
    tokens = METHOD.learn(
        backbone,
        first.picture,
        first.concepts,
        ConceptExpressSettings(
            steps=settings.learn_steps,
            rate=settings.learn_rate,
            final_rate=0.1,
            template=settings.template,
            start="average",
            attention_weight=0.0,
            downscale=None,  # no attention is compared, so that any grid serves
            joint=False,
        ),
        seed=task.seed,
        on_step=lambda step, total, loss, tokens: task.on_passes(1),
        more=more,
    )
    return tokens.placeholders()


def whole_picture(picture: Tensor) -> Concepts:
    """A picture (3, H, W) as one concept that fills it."""
    height, width = picture.shape[-2:]
    return concepts_from_masks(torch.ones(1, height, width), (height, width), (1, 1), names=[TOKEN])
