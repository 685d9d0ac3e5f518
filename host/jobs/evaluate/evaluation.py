"""Scoring tokens from end to end: draw them, look at the pictures with a picture encoder, compare."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ....core.backbone import Backbone
from ....core.evaluate.prototypes import Prototypes
from ....core.evaluate.scores import ConceptScores, score_concepts
from ....core.evaluate.sources import masked_source
from ....core.messages import listed
from ....core.types import Concepts, ConceptTokens
from ...pictures.concept_pictures import concept_masks, picture_for
from ...shared.progress import Progress
from ..vision import picture_features
from .concept_drawing import DrawSettings, draw_prompts, prompts_of


@dataclass(frozen=True)
class SourceSettings:
    """What drawn pictures are compared with.

    Attributes:
        ground: what a concept stands on: ``black``, ``grey`` or ``white``.
        crop: cut the concept out, so that it fills its picture.
        average: let ACC^k classify the mean of a concept's pictures, not each.
    """

    ground: str = "grey"
    crop: bool = False
    average: bool = False


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores, and the pictures they are of.

    Attributes:
        scores: of the N concepts that have tokens.
        picture: (1, 3, H, W) the source picture.
        sources: (N, 3, h, w) its concepts alone.
        drawn: (N, K, 3, H', W') pictures of each token.
        joint: (K, 3, H', W') pictures of all tokens together.
    """

    scores: ConceptScores
    picture: Tensor
    sources: Tensor
    drawn: Tensor
    joint: Tensor

    def all_pictures(self) -> Tensor:
        """IMAGE ((N + 1) * K, H', W', 3): those of the first concept, of the second ..., then the joint ones."""
        return torch.cat([*self.drawn, self.joint]).movedim(1, -1)


def evaluate(
    backbone: Backbone,
    clip_vision: Any,
    picture: Tensor,
    concepts: Concepts,
    tokens: ConceptTokens,
    drawing: DrawSettings,
    comparing: SourceSettings,
    others: Prototypes | None,
    progress: Progress,
) -> Evaluation:
    """Draw tokens and score them (ConceptExpress, arXiv 2407.07077, section 4.1).

    Args:
        backbone: the model to draw with, changes that belong to the tokens in force.
        clip_vision: the picture encoder, see :func:`~..vision.picture_features`.
        picture: (1, 3, H, W) in 0..1, what the concepts were found in.
        concepts: of that picture. Those without a token are not drawn, but pictures may be mistaken for them.
        tokens: named as concepts are.
        drawing: how to draw.
        comparing: what to compare with.
        others: further concepts that pictures may be mistaken for.
        progress: called at every model pass.

    Raises:
        ValueError: before anything is drawn, for tokens that are no concepts, another picture, empty masks.
    """
    ordered, prompts = _tokens_first(concepts, tokens), prompts_of(tokens, drawing.template)
    sources = concept_sources(picture_for(concepts, picture), ordered, comparing)
    prototypes = Prototypes(ordered.names, picture_features(clip_vision, sources))
    prototypes = prototypes if others is None else prototypes.with_others(others)
    count = len(tokens.names)
    pictures = draw_prompts(backbone, tokens, prompts, concepts.picture_size, drawing, progress)
    features = picture_features(clip_vision, pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2])
    whole = picture_features(clip_vision, picture)
    scores = score_concepts(tokens.names, features[:count], prototypes, features[count], whole, comparing.average)
    return Evaluation(scores, picture, sources[:count], pictures[:count], pictures[count])


def concept_sources(picture: Tensor, concepts: Concepts, comparing: SourceSettings) -> Tensor:
    """(N, 3, h, w) each concept alone on plain ground: the picture's size, or squares of its shorter side if cropped.

    Raises ``ValueError`` for a concept without a pixel, naming it.
    """
    masks = concept_masks(concepts).to(picture)
    empty = [name for name, mask in zip(concepts.names, masks, strict=True) if not bool((mask > 0.5).any())]
    if empty:
        raise ValueError(f"the mask of {listed(empty)} is empty; drop it with Edit Concepts")
    alone = [masked_source(picture, mask, comparing.ground, comparing.crop) for mask in masks]
    return torch.cat([squared(one, min(picture.shape[-2:])) if comparing.crop else one for one in alone]).cpu()


def squared(picture: Tensor, side: int) -> Tensor:
    """Pictures (B, 3, H, W) in 0..1, squeezed into squares of ``side`` pixels."""
    return interpolate(picture, (side, side), mode="bilinear", antialias=True).clamp(0, 1)


def _tokens_first(concepts: Concepts, tokens: ConceptTokens) -> Concepts:
    """The concepts in the order of the tokens, then those without one."""
    unknown = [name for name in tokens.names if name not in concepts.names]
    if unknown:
        raise ValueError(
            f"the tokens {listed(unknown)} are none of the concepts {listed(concepts.names)}: connect the "
            "concepts that they were learnt from, or rename those in Edit Concepts"
        )
    return concepts.pick(_order(concepts.names, tokens.names))


def _order(names: Sequence[str], first: Sequence[str]) -> list[int]:
    start = [names.index(name) for name in first]
    return start + [index for index in range(len(names)) if index not in start]
