"""What training of head offsets minimises: the loss of denoising with scales or offsets of heads in force."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...backbone import Backbone, Conditioning
from ...learn.engine.loop import draw_timesteps
from ...sampling import with_rows
from .in_force import Heads, Where
from .offset_settings import OffsetSettings


@dataclass(frozen=True, eq=False)
class Captioned:
    """Pictures with what each shows.

    Attributes:
        latents: (N, C, h, w).
        prompts: N of them.
    """

    latents: Tensor
    prompts: Sequence[str]


class OffsetLoss:
    """The loss of denoising with scales or offsets of heads in force.

    Attributes:
        kept: name to (heads, 1), 1 if a head gets an offset.
    """

    def __init__(
        self,
        backbone: Backbone,
        pictures: Captioned,
        settings: OffsetSettings,
        generator: torch.Generator,
        where: Where,
    ) -> None:
        self.heads, self.kept = Heads(backbone, where, pictures.latents.device), dict[str, Tensor]()
        self._backbone, self._settings, self._generator = backbone, settings, generator
        self._latents, self._prompts = pictures.latents.detach().clone(), list(pictures.prompts)
        self._texts: dict[str, Conditioning] = {}

    def begin(
        self, scales: Mapping[str, Tensor], offsets: Mapping[str, Tensor], chosen: Sequence[tuple[str, int]] | None
    ) -> None:
        """What is trained; ``chosen`` heads if they are known."""
        self._scales, self._offsets = scales, offsets
        if chosen is not None:
            self._keep(chosen)

    def of_scales(self, step: int) -> Tensor:
        """With its penalty."""
        size = torch.stack([scale.abs().sum() for scale in self._scales.values()]).sum()
        return self._loss(self._scales, {}) + self._settings.penalty * size

    def of_offsets(self, step: int) -> Tensor:
        """Of the heads that were chosen."""
        self.choose()
        return self._loss({}, {name: values * self.kept[name] for name, values in self._offsets.items()})

    def choose(self) -> None:
        """Decide which heads get an offset: those with the greatest scales, unless a scout chose them."""
        if not self.kept:
            scores = {name: score.tolist() for name, score in scores_of(self._scales).items()}
            ranked = sorted(((-score, name, at) for name, of in scores.items() for at, score in enumerate(of)))
            self._keep([(name, at) for _, name, at in ranked[: self._settings.heads]])

    def _keep(self, chosen: Sequence[tuple[str, int]]) -> None:
        self.kept = {name: torch.zeros(len(values), 1).to(values) for name, values in self._offsets.items()}
        for name, at in chosen:
            self.kept[name][at] = 1

    def _loss(self, scales: Mapping[str, Tensor], offsets: Mapping[str, Tensor]) -> Tensor:
        schedule, count = self._backbone.schedule, self._settings.batch
        rows = torch.randint(len(self._latents), (count,), generator=self._generator)
        times = draw_timesteps(schedule.steps, (0.0, 1.0), count, self._generator, even=True).to(self._latents.device)
        latents = self._latents[rows.to(self._latents.device)]  # (B, C, h, w)
        noise = torch.randn(latents.shape, generator=self._generator).to(latents)
        noisy, target = schedule.add_noise(latents, noise, times), schedule.target(latents, noise)
        errors, prompts = [], [self._prompts[row] for row in rows.tolist()]
        with self.heads.in_force(scales, offsets):
            for prompt in dict.fromkeys(prompts):
                at = [number for number, text in enumerate(prompts) if text == prompt]
                predicted = self._backbone.predict_target(noisy[at], times[at], with_rows(self._text(prompt), len(at)))
                errors.append((predicted.float() - target[at]).square().flatten(1).mean(1))  # (b,)
        return torch.cat(errors).mean()

    def _text(self, prompt: str) -> Conditioning:
        """Encoded once, unless heads of the text encoder are trained."""
        if self.heads.of_text:
            return self._backbone.encode_text([prompt])
        if prompt not in self._texts:
            with torch.no_grad():
                self._texts[prompt] = self._backbone.encode_text([prompt])
        return self._texts[prompt]


def scores_of(scales: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name to (heads,), the root mean square of each head's scale."""
    return {name: scale.detach().square().mean(-1).sqrt().cpu() for name, scale in scales.items()}
