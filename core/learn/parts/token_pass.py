"""A pass that reads one token in a sentence that says nothing else: what terms beside a method's loss are made of."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from ...attention.sites import choose_sites
from ...attention.words import first_places
from ...backbone import AttentionSite, Backbone, TokenVectors
from .prompts import placeholder
from .token_maps import common_grid, recorded_tokens

SENTENCE = "a photo of {}"
LONGEST = 16
"""Cells along the longer side of the grid that maps are brought to."""


@dataclass(frozen=True, eq=False)
class TokenPass:
    """What a pass gave.

    Attributes:
        name: of the concept.
        picture: number of the picture.
        noisy: (1, C, h, w) its latent with noise.
        time: (1,) the timestep.
        target: (1, C, h, w) what should be predicted.
        predicted: (1, C, h, w) float32, what was.
        attention: (gh, gw) to the token.
    """

    name: str
    picture: int
    noisy: Tensor
    time: Tensor
    target: Tensor
    predicted: Tensor
    attention: Tensor


@dataclass(frozen=True, eq=False)
class TokenReader:
    """Makes such passes, each of one picture and one token, both drawn.

    Attributes:
        backbone: the model.
        latents: of the pictures, (1, C, h, w) each; all tokens are in each of them.
        tokens: concept name to vectors as they are now, part of the graph.
        in_force: a context in which the model computes with its change as it is now.
        draw_time: gives a timestep (1,).
        generator: of the draws.
        sites: cross-attention layers that are read.
        grid: (gh, gw) that maps are brought to.
    """

    backbone: Backbone
    latents: Sequence[Tensor]
    tokens: Callable[[], Mapping[str, TokenVectors]]
    in_force: Callable[[], AbstractContextManager[None]]
    draw_time: Callable[[], Tensor]
    generator: torch.Generator
    sites: Sequence[AttentionSite]
    grid: tuple[int, int]

    def read(self) -> TokenPass:
        """One pass; gradients reach all that is learnt."""
        known, backbone = self.tokens(), self.backbone
        name = list(known)[int(torch.randint(len(known), (1,), generator=self.generator))]
        picture = int(torch.randint(len(self.latents), (1,), generator=self.generator))
        latent = self.latents[picture]
        time = self.draw_time().to(latent.device)
        noise = torch.randn(latent.shape, generator=self.generator).to(latent)
        noisy, target = backbone.schedule.add_noise(latent, noise, time), backbone.schedule.target(latent, noise)
        written, placeholders = SENTENCE.format(placeholder(name)), {placeholder(name): known[name]}
        spot = first_places(backbone.tokenize(written, placeholders), placeholder(name))
        text = backbone.encode_text([written], placeholders)
        with self.in_force(), recorded_tokens(backbone, self.sites, [(0, spot)], self.grid) as seen:
            predicted = backbone.predict_target(noisy, time, text).float()
        return TokenPass(name, picture, noisy, time, target, predicted, seen.mean()[0])


def token_reader(
    backbone: Backbone,
    latents: Sequence[Tensor],
    tokens: Callable[[], Mapping[str, TokenVectors]],
    in_force: Callable[[], AbstractContextManager[None]],
    draw_time: Callable[[], Tensor],
    generator: torch.Generator,
) -> TokenReader:
    """A reader of the model's usual layers; see :class:`TokenReader`."""
    size = (latents[0].shape[-2], latents[0].shape[-1])
    sites = choose_sites(backbone, size, None)
    grid = common_grid(sites, size, LONGEST)
    return TokenReader(backbone, latents, tokens, in_force, draw_time, generator, sites, grid)
