"""A term that keeps the attention to a token inside its mask, so that it does not learn its background.

Concept-Guided Fine-Tuning of vision transformers (CVPR 2026) tunes a classifier so that its relevance R falls on masks
M of concepts: ``1.2 BCE(R (1 - M), 0) + 0.5 BCE(R M, M)``, with both weights from its code. Here R is the attention to
a token in a sentence that says nothing else, stretched to 0..1; raw attention would be far below 1. Only noise of a
middle level counts: with little the picture needs no text, with much it shows nothing. Its third term keeps what the
classifier answers; here that is the method's own loss.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...attention.resize import mask_on
from ...attention.stretch import stretched
from ...types import Concepts
from .token_pass import TokenReader

CONTEXT, CONCEPT = 1.2, 0.5
"""Weights of what lies outside the mask, and of what lies inside."""
MIDDLE = (0.25, 0.75)
"""Noise levels that count, as shares of all timesteps."""
EDGE = 1e-3
"""Relevance is kept so far from 0 and 1: logarithms stay finite, and no gradient is cut off."""


def mask_loss(relevance: Tensor, mask: Tensor) -> Tensor:
    """The loss () of a relevance (h, w) in 0..1 against a mask (h, w) in 0..1; gradients reach the relevance.

    Mean over cells of ``-1.2 log(1 - R (1 - M)) - 0.5 (M log(R M) + (1 - M) log(1 - R M))``.
    """
    kept = EDGE + (1 - 2 * EDGE) * relevance
    outside, inside = kept * (1 - mask), (kept * mask).clamp(EDGE**2, 1 - EDGE)
    context = -(1 - outside).log()
    concept = -(mask * inside.log() + (1 - mask) * (1 - inside).log())
    return (CONTEXT * context + CONCEPT * concept).mean()


def mask_term(reader: TokenReader, concepts: Sequence[Concepts]) -> Callable[[], Tensor]:
    """The term of one update: of one picture and one token, both drawn. It takes one pass, with gradients.

    Args:
        reader: of the tokens; those of a method that learns several for each concept take the masks in turn.
        concepts: of each picture, in the reader's order; their masks may be of any size.
    """
    masks = [
        torch.stack([mask_on(mask.cpu(), reader.grid) for mask in one.masks.clone()]) for one in concepts
    ]  # of each picture (N, gh, gw)

    def term() -> Tensor:
        seen = reader.read()
        number = list(reader.tokens()).index(seen.name) % len(masks[seen.picture])
        relevance = stretched(seen.attention)
        return mask_loss(relevance, masks[seen.picture][number].to(relevance))

    return term
