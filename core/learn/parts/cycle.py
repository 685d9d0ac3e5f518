"""A term that ties a token to its own region: it must be redrawn from where its attention lies, and nowhere else.

Ma et al., "Learning to Generate Grounded Visual Captions without Localization Supervision", ECCV 2020,
arXiv 1906.00283, train captions in a cycle: write a word, find its region by the word alone, write it again from that
region. For tokens of a diffusion model the form is ours: the attention A to the token in a sentence that says nothing
else is stretched to a soft mask m in 0..1; the token's prediction counts inside m and that of the same sentence without
it elsewhere, and ``L = mean |e - (m e_token + (1 - m) e_without)|^2``. Where the token explains the picture better than
the sentence without it, m grows; where it does worse, m shrinks. No masks are used.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from ...attention.resize import resize_maps
from ...attention.sites import choose_sites
from ...attention.stretch import stretched
from ...attention.words import find_word
from ...backbone import Backbone, TokenVectors
from .prompts import placeholder
from .token_maps import common_grid, recorded_tokens

SENTENCE, WITHOUT = "a photo of {}", "a photo"
LONGEST = 16
"""Cells along the longer side of the grid that maps are brought to."""


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


def cycle_term(
    backbone: Backbone,
    latents: Sequence[Tensor],
    tokens: Callable[[], Mapping[str, TokenVectors]],
    in_force: Callable[[], AbstractContextManager[None]],
    draw_time: Callable[[], Tensor],
    generator: torch.Generator,
) -> Callable[[], Tensor]:
    """The term of one update: of one picture and one token, both drawn. It takes two passes, one with gradients.

    Args:
        backbone: the model.
        latents: of the pictures, (1, C, h, w) each; all tokens are in each of them.
        tokens: concept name to vectors as they are now, part of the graph.
        in_force: a context in which the model computes with its change as it is now.
        draw_time: gives a timestep (1,).
        generator: of the draws.
    """
    size = (latents[0].shape[-2], latents[0].shape[-1])
    sites = choose_sites(backbone, size, None)
    grid = common_grid(sites, size, LONGEST)
    with torch.no_grad():
        empty = backbone.encode_text([WITHOUT])

    def term() -> Tensor:
        known = tokens()
        name = list(known)[int(torch.randint(len(known), (1,), generator=generator))]
        latent = latents[int(torch.randint(len(latents), (1,), generator=generator))]
        time = draw_time().to(latent.device)
        noise = torch.randn(latent.shape, generator=generator).to(latent)
        noisy, target = backbone.schedule.add_noise(latent, noise, time), backbone.schedule.target(latent, noise)
        written, placeholders = SENTENCE.format(placeholder(name)), {placeholder(name): known[name]}
        (spot, *_) = find_word(backbone.tokenize(written, placeholders), placeholder(name))
        text = backbone.encode_text([written], placeholders)
        with in_force(), recorded_tokens(backbone, sites, [(0, spot)], grid) as seen:
            by_token = backbone.predict_target(noisy, time, text).float()
        with in_force(), torch.no_grad():
            without = backbone.predict_target(noisy, time, empty).float()
        region = resize_maps(stretched(seen.mean()), (latent.shape[-2], latent.shape[-1]), "bilinear")[0]  # (h, w)
        return cycle_error(target, by_token, without, region)

    return term
