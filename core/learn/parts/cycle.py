"""A term that ties a token to its own region: it must be redrawn from where its attention lies, and nowhere else.

Ma et al., "Learning to Generate Grounded Visual Captions without Localization Supervision", ECCV 2020,
arXiv 1906.00283, train captions in a cycle: write a word, find its region by the word alone, write it again from that
region. For tokens of a diffusion model the form is ours: the attention A to the token in a sentence that says nothing
else is stretched to a soft mask m in 0..1; the token's prediction counts inside m and that of the same sentence without
it elsewhere, and ``L = mean |e - (m e_token + (1 - m) e_without)|^2``. Where the token explains the picture better than
the sentence without it, m grows; where it does worse, m shrinks. No masks are used.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ...attention.resize import resize_maps
from ...attention.stretch import stretched
from .token_pass import TokenReader

WITHOUT = "a photo"


def cycle_error(target: Tensor, by_token: Tensor, without: Tensor, region: Tensor) -> Tensor:
    """The mean squared error of a prediction that is the token's inside its region, and another's elsewhere.

    Args:
        target: (1, C, h, w), the truth.
        by_token: (1, C, h, w), predicted with the token.
        without: (1, C, h, w), predicted without it; gets no gradient.
        region: (h, w) in 0..1; gradients reach it.
    """
    mixed = without.detach() + region * (by_token - without.detach())  # (1, C, h, w)
    return (target - mixed).square().mean()


def cycle_term(reader: TokenReader) -> Callable[[], Tensor]:
    """The term of one update: of one picture and one token, both drawn. It takes two passes, one with gradients."""
    with torch.no_grad():
        empty = reader.backbone.encode_text([WITHOUT])

    def term() -> Tensor:
        seen = reader.read()
        with reader.in_force(), torch.no_grad():
            without = reader.backbone.predict_target(seen.noisy, seen.time, empty).float()
        size = (seen.noisy.shape[-2], seen.noisy.shape[-1])
        region = resize_maps(stretched(seen.attention[None]), size, "bilinear")[0]  # (h, w)
        return cycle_error(seen.target, seen.predicted, without, region)

    return term
