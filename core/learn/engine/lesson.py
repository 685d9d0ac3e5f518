"""One denoising of a batch of prompts, whose parts the losses of a method judge."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...backbone import AttentionSite, Backbone, Conditioning
from ...schedule import add_noise
from ..parts.examples import Example, choose, fit_targets
from ..parts.prompts import Prompt, placeholder_positions
from ..parts.token_maps import Spot, common_grid, recorded_tokens
from ..parts.tokens import TokenBank
from .loop import draw_timesteps


@dataclass(frozen=True)
class Attempt:
    """What came of it, for B prompts that name K tokens in all.

    Attributes:
        noise: (B, C, h, w), what should have been predicted.
        predicted: (B, C, h, w), what was.
        masks: (B, h, w) in 0..1, the union of the masks of the concepts each prompt names.
        targets: (K, gh, gw), where each token's attention should lie.
        maps: (K, gh, gw), where it lies; None unless asked for.
    """

    noise: Tensor
    predicted: Tensor
    masks: Tensor
    targets: Tensor
    maps: Tensor | None


@dataclass(frozen=True)
class Lesson:
    """What stays the same over the steps of one training.

    Attributes:
        backbone: the model.
        bank: the vectors under training.
        examples: the pictures; targets on the attention grid.
        sites: cross-attention layers to read.
        mirrored: their mirror images in the same order; empty where none shall be used.
    """

    backbone: Backbone
    bank: TokenBank
    examples: tuple[Example, ...]
    sites: tuple[AttentionSite, ...]
    mirrored: tuple[Example, ...] = ()

    @property
    def grid(self) -> tuple[int, int]:
        """(gh, gw) of maps and targets."""
        return self.examples[0].targets.shape[1], self.examples[0].targets.shape[2]

    def attempt(
        self,
        prompts: Sequence[Prompt],
        generator: torch.Generator,
        *,
        flip: float = 0.0,
        span: tuple[float, float] = (0.0, 1.0),
        even: bool = False,
        with_maps: bool = True,
        conditioning: Conditioning | None = None,
    ) -> Attempt:
        """Noise the latent once per prompt and let the model find the noise; gradients reach the vectors.

        Args:
            prompts: B sentences.
            generator: decides the picture, mirroring, timesteps and noise, in this order.
            flip: probability of the mirrored picture, for the whole batch.
            span, even: timesteps as shares of all, and how they are drawn, see :func:`.loop.draw_timesteps`.
            with_maps: whether attention is read.
            conditioning: what the model is told, one row a prompt; None encodes the prompts.
        """
        example = self._choose(flip, generator)
        timesteps = draw_timesteps(len(self.backbone.alphas_cumprod), span, len(prompts), generator, even)
        latents = example.latent.expand(len(prompts), -1, -1, -1)
        noise = torch.randn(latents.shape, generator=generator).to(latents.device)
        # Cloned, because a tensor made under inference mode cannot take part in a backward pass.
        noised = add_noise(latents, noise, timesteps.to(latents.device), self.backbone.alphas_cumprod.clone())
        spots = self._spots(prompts) if with_maps else []
        told = conditioning or self.backbone.encode_text([prompt.text for prompt in prompts], self.bank.placeholders())
        predicted, maps = self._predict(noised, timesteps.to(latents.device), told, spots)
        members = [member for prompt in prompts for member in prompt.members]
        return Attempt(
            noise,
            predicted.float(),
            torch.stack([example.union(prompt.members) for prompt in prompts]),
            example.targets[members],
            maps,
        )

    def turned(self, flip: float, generator: torch.Generator) -> "Lesson":
        """The lesson on one of its pictures alone: mirrored with probability ``flip``."""
        return self.alone(*self.draw(flip, generator))

    def draw(self, flip: float, generator: torch.Generator) -> tuple[int, bool]:
        """Which of the pictures, and whether mirrored."""
        index = choose(len(self.examples), generator)
        return index, bool(self.mirrored) and float(torch.rand(1, generator=generator)) < flip

    def alone(self, index: int, turned: bool) -> "Lesson":
        """The lesson on this picture."""
        return replace(self, examples=((self.mirrored if turned else self.examples)[index],), mirrored=())

    def _choose(self, flip: float, generator: torch.Generator) -> Example:
        return self.turned(flip, generator).examples[0]

    def _spots(self, prompts: Sequence[Prompt]) -> list[Spot]:
        placeholders = self.bank.placeholders()
        return [
            (row, positions)
            for row, prompt in enumerate(prompts)
            for positions in placeholder_positions(self.backbone, prompt, self.bank.names, placeholders)
        ]

    def _predict(
        self, noised: Tensor, timesteps: Tensor, conditioning: Conditioning, spots: Sequence[Spot]
    ) -> tuple[Tensor, Tensor | None]:
        if not spots:
            return self.backbone.predict_noise(noised, timesteps, conditioning), None
        with recorded_tokens(self.backbone, self.sites, spots, self.grid) as maps:
            predicted = self.backbone.predict_noise(noised, timesteps, conditioning)
        return predicted, maps.mean()


def begin(
    backbone: Backbone,
    bank: TokenBank,
    examples: Sequence[Example],
    sites: tuple[AttentionSite, ...],
    longest_grid: int = 16,
    mirrored: Sequence[Example] = (),
) -> Lesson:
    """A lesson whose targets are brought to the finest grid of ``sites``, at most ``longest_grid`` cells a side.

    Pictures of other sizes than the first share its grid: maps and targets are stretched to it alike.
    """
    latent = examples[0].latent
    grid = common_grid(sites, (latent.shape[-2], latent.shape[-1]), longest_grid)
    straight, turned = (
        tuple(replace(example, targets=fit_targets(example.targets, grid)) for example in some)
        for some in (examples, mirrored)
    )
    return Lesson(backbone, bank, straight, sites, turned)
