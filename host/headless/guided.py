"""The clean latent that a model sees under guidance, and what takes part in each of its passes."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...core.backbone import Conditioning
from ...core.compose.composer import Run
from ...core.compose.guiders import Guider
from ...core.compose.parts.areas import Area, in_areas
from ...core.erase.guards.guard import GuardRun
from ...core.schedule import timestep_of_sigma
from ..shared.conditioning import join
from ..shared.progress import check_interrupt
from .backbone import DiffusersBackbone
from .moves import Moves
from .spans import Held, HeldArea, areas_at, held_at

Hook = Callable[[], AbstractContextManager[None]]
"""Within its context, something listens to attention or edits it."""


@dataclass(frozen=True, eq=False)
class Guided:
    """The clean latent that the model sees under guidance."""

    backbone: DiffusersBackbone
    positive: Conditioning
    negative: Conditioning | None
    guider: Guider
    table: Tensor
    moves: Moves
    hooks: tuple[Hook, ...] = ()
    guards: tuple[GuardRun, ...] = ()
    spans: tuple[Held, ...] = ()
    areas: tuple[HeldArea, ...] = ()
    against: tuple[HeldArea, ...] = ()  # of the negative text, where there are areas and it is needed
    composing: tuple[Run, ...] = ()

    @property
    def _flow(self) -> bool:
        return self.backbone.model.prediction_type == "flow"

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """``x`` (B, C, h, w) with noise of level ``sigma`` to its clean version."""
        check_interrupt()
        for guard in self.guards:
            changed = guard.perturbed(x, sigma)
            if changed is not x:
                x.copy_(changed)  # the sampler goes on from this tensor, which was made for this run
        with ExitStack() as listening:  # not around what guards ask the model
            for hook in self.hooks:
                listening.enter_context(hook())
            self._move(x, sigma)
            clean = self._guided(x, sigma)
            for capture in self.backbone.model.captures:
                if capture.beside is not None:
                    time = float(timestep_of_sigma(sigma, self.table))
                    capture.beside(self.backbone, time, lambda: self._clean(x, sigma, self.positive, [False] * len(x)))
        for guard in self.guards:
            slope = (x - clean) / sigma
            corrected = guard.corrected(slope, x, sigma, float(getattr(self.guider, "scale", 1.0)))
            clean = clean if corrected is slope else x - sigma * corrected
        return clean

    def _guided(self, x: Tensor, sigma: Tensor) -> Tensor:
        if self.areas:
            return self._in_areas(x, sigma)
        if self.spans:
            held = held_at(self.spans, sigma)
            return torch.stack([replace(self, positive=one, spans=())._guided(x, sigma) for one in held]).mean(0)
        if self.negative is None:
            return self._clean(x, sigma, self.positive, [True] * len(x))
        if self._flow and self.negative.context.shape[1] != self.positive.context.shape[1]:
            # Joint attention over copies of the text is another attention; ComfyUI makes two passes as well.
            texts = ((self.negative, False), (self.positive, True))
            return self.guider.combine(*(self._clean(x, sigma, text, [said] * len(x)) for text, said in texts))
        both = join(self.negative, self.positive)
        cleans = self._clean(torch.cat([x, x]), sigma, both, [False] * len(x) + [True] * len(x))
        return self.guider.combine(*cleans.chunk(2))

    def _in_areas(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The mean is linear in clean latents as it is in noise, since all areas see the same latent."""

        def side(held: tuple[HeldArea, ...], said: bool) -> Tensor:
            def predict(part: Tensor, area: Area) -> Tensor:
                return self._clean(part, sigma, area.text, [said] * len(part))

            return in_areas(x, areas_at(held, sigma), predict)

        positive = side(self.areas, True)
        return self.guider.combine(side(self.against, False), positive) if self.against else positive

    def _move(self, x: Tensor, sigma: Tensor) -> None:
        """Let compositions move the latent. It changes in place: the sampler goes on from what it holds."""
        scale = 1.0 if self._flow else (sigma**2 + 1) ** 0.5
        timestep = timestep_of_sigma(sigma, self.table).round().long().expand(len(x))
        with self.moves.in_force():
            for step in self.moves.steps:
                latent = x / scale
                moved = step(self.backbone, latent, timestep)
                if moved is not latent:
                    x.copy_(moved * scale)

    def _clean(self, x: Tensor, sigma: Tensor, conditioning: Conditioning, conditional: list[bool]) -> Tensor:
        timestep = timestep_of_sigma(sigma, self.table).expand(len(x))
        length = self.positive.context.shape[1]
        if self._flow:
            return x - sigma * self.backbone.predict(x, timestep, conditioning, conditional, length, sigma)
        scale = (sigma**2 + 1) ** 0.5
        output = self.backbone.predict(x / scale, timestep, conditioning, conditional, length)
        return clean_latent(output, x, sigma, self.backbone.model.prediction_type)


def clean_latent(output: Tensor, x: Tensor, sigma: Tensor, prediction_type: str) -> Tensor:
    """The clean latent from a model's output at ``x = clean + sigma * noise``; all (B, C, h, w)."""
    if prediction_type == "epsilon":
        return x - output * sigma
    if prediction_type == "v_prediction":
        return x / (sigma**2 + 1) - output * sigma / (sigma**2 + 1) ** 0.5
    return output
