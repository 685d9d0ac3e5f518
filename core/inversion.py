"""The noise that a sampler without randomness would have drawn given pictures from.

Euler's steps along the probability flow, which are DDIM's for a diffusion model (Song et al., ICLR 2021, eq. 13 and 14)
and those of a rectified flow, lead from noise to a picture. Walking back asks for the prediction at the end of a step
that is not known yet. DDIM inversion takes the prediction at its beginning; here every step is solved instead: the
point is put in for itself until it stays where it is (as Pan et al., "AIDI", ICCV 2023, arXiv 2309.04907, eq. 9), with
Anderson's acceleration, each picture on its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .backbone import Backbone, Conditioning
from .compose.guiders import ClassifierFree
from .sampling import TextPasses, with_rows
from .schedule import DiffusionSchedule, FlowSchedule, Schedule, sigmas_of, timestep_of_sigma
from .steps import OnStep

SETTLED = 1e-5
"""A step is solved where its point moves by less than this share of its length."""

MEMORY = 4
"""How many earlier passes the acceleration combines."""

DAMPING = 1e-6
"""Of the acceleration's equations, as a share of their diagonal."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The straight steps of a sampler between noise levels, by one model under one prompt.

    Latents at a level are ``clean + level * noise`` for diffusion models, and ``(1 - level) * clean + level * noise``
    for flows, as stock samplers hold them.

    Attributes:
        backbone: the model.
        positive: the prompt, a row for each picture or one for all; or the passes that prompts of unequal length need
            (:func:`~.sampling.encode_for_passes`).
        negative: what guidance leads away from; None for no guidance.
        guidance: classifier-free guidance; 1 is none.
    """

    backbone: Backbone
    positive: Conditioning | TextPasses
    negative: Conditioning | None = None
    guidance: float = 1.0

    @property
    def flow(self) -> bool:
        """Whether the model is a flow."""
        return isinstance(self.backbone.schedule, FlowSchedule)

    @property
    def device(self) -> torch.device:
        """Where the conditionings are, and latents have to be."""
        first = self.positive if isinstance(self.positive, Conditioning) else self.positive[0][1]
        return first.context.device

    def noised(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """Latents (B, C, h, w) at a level (), of clean ones and unit noise."""
        return (1 - level) * clean + level * noise if self.flow else clean + level * noise

    def slope(self, latent: Tensor, level: Tensor) -> Tensor:
        """How latents (B, C, h, w) change with the level () where they are: the noise in them, or a flow's velocity."""
        table = level_table(self.backbone.schedule)  # (T,), in float64, which not every device has
        there = level.cpu().to(table)
        near = (table - there).abs().argmin() if self.flow else timestep_of_sigma(there, table)
        time = near.to(latent.device).expand(len(latent))  # (B,)
        seen = latent if self.flow else latent / (1 + level**2).sqrt()  # of unit variance
        guider = ClassifierFree(self.guidance)
        positive = self._under_prompts(seen, time)
        if self.negative is None or not guider.needs_negative:
            return positive
        return guider.combine(self.backbone.predict_target(seen, time, with_rows(self.negative, len(latent))), positive)

    def _under_prompts(self, seen: Tensor, time: Tensor) -> Tensor:
        """The prediction for latents (B, C, h, w) of unit variance at timesteps (B,), each row under its prompt."""
        if isinstance(self.positive, Conditioning):
            return self.backbone.predict_target(seen, time, with_rows(self.positive, len(seen)))
        predicted = torch.empty_like(seen)
        for rows, text in self.positive:
            predicted[rows] = self.backbone.predict_target(seen[rows], time[rows], text)
        return predicted

    def draw(self, start: Tensor, levels: Tensor, on_step: OnStep | None = None) -> Tensor:
        """Latents at the last of falling levels (n + 1,), from latents (B, C, h, w) at the first; one pass a step."""
        latent, levels = start, levels.to(start)
        for step, (level, following) in enumerate(pairwise(levels), 1):
            latent = latent + (following - level) * self.slope(latent, level)
            if on_step is not None:
                on_step(step, len(levels) - 1)
        return latent

    def invert(self, clean: Tensor, levels: Tensor, passes: int = 4, on_step: OnStep | None = None) -> Tensor:
        """Latents (B, C, h, w) at the first of falling levels (n + 1,), from which :meth:`draw` gives ``clean``.

        ``passes`` is how often the model may be asked for each step, at least 1. With 1 it is asked where the step
        before leads to; that is DDIM inversion but for the point, which is the step's beginning there.
        """
        latent, levels = clean, levels.to(clean)
        way: Tensor | None = None
        for step, (level, reached) in enumerate(pairwise(levels.flip(0)), 1):
            latent, way = self._solved(latent, reached - level, reached, way, passes)
            if on_step is not None:
                on_step(step, len(levels) - 1)
        return latent

    def _solved(
        self, below: Tensor, length: Tensor, level: Tensor, slope: Tensor | None, passes: int
    ) -> tuple[Tensor, Tensor]:
        """The latents at ``level`` that one step of the sampler leads to ``below``, and the slope there, from the slope
        that the step below ended with."""
        point = below if slope is None else below + length * slope
        leads: list[Tensor] = []  # where passes led, and by how much each moved the point it began at
        moves: list[Tensor] = []
        best, least = point, torch.full((len(point), 1, 1, 1), torch.inf).to(point)
        for _ in range(passes):
            led = below + length * self.slope(point, level)  # (B, C, h, w)
            leads, moves = [*leads[-MEMORY:], led], [*moves[-MEMORY:], led - point]
            far = _length(moves[-1])
            best, least = torch.where(far < least, led, best), torch.minimum(far, least)
            if bool((far <= SETTLED * _length(led)).all()):
                break
            point = _accelerated(leads, moves)
        return best, (best - below) / length


@torch.no_grad()
def invert(
    trajectory: Trajectory, clean: Tensor, levels: Tensor, *, passes: int = 4, on_step: OnStep | None = None
) -> "Inverted":
    """Invert latents and draw them again, to see what comes back.

    Args:
        trajectory: the model and the prompt, which drawing must be given as well.
        clean: (B, C, h, w) scaled latents.
        levels: (n + 1,) falling noise levels of the sampler, 0 at the end (:func:`levels_of_steps`, or the host's).
        passes: of the model for each step of the inversion; drawing takes one more for each.
        on_step: called after each step, of both ways, with the finished and the total number.

    Raises ``ValueError`` for levels that do not fall to 0 and fewer passes than 1.
    """
    steps = len(levels) - 1
    if passes < 1:
        raise ValueError(f"passes must be at least 1, got {passes}")
    if steps < 1 or float(levels[-1]) != 0 or bool((levels.diff() >= 0).any()):
        raise ValueError(f"noise levels must fall to 0, got {levels.tolist()}")

    def report(done: int) -> OnStep | None:
        return None if on_step is None else lambda step, total: on_step(done + step, 2 * total)

    start = trajectory.invert(clean, levels, passes, report(0))
    return Inverted(start, trajectory.draw(start, levels, report(steps)), levels)


@dataclass(frozen=True, eq=False)
class Inverted:
    """Inverted pictures.

    Attributes:
        start: (B, C, h, w) latents at the first level, as :class:`Trajectory` has them.
        returned: (B, C, h, w) scaled latents that are drawn from it.
        levels: (n + 1,) falling noise levels.
    """

    start: Tensor
    returned: Tensor
    levels: Tensor

    def error(self, clean: Tensor) -> Tensor:
        """(B,) root mean square of what drawing again changes, as a share of that of the scaled latents."""
        return (_length(self.returned - clean) / _length(clean)).flatten()


def level_table(schedule: Schedule) -> Tensor:
    """(T,) the rising noise level of each timestep: relative to the signal, or a flow's share of noise.

    Raises ``ValueError`` for a schedule that is neither.
    """
    if isinstance(schedule, FlowSchedule):
        return schedule.sigmas.clone()
    if isinstance(schedule, DiffusionSchedule):
        return sigmas_of(schedule.alphas_cumprod.clone())
    raise ValueError(f"a {type(schedule).__name__} has no noise levels that pictures can be inverted along")


def levels_of_steps(schedule: Schedule, steps: int) -> Tensor:
    """(steps + 1,) float32 levels of evenly spaced timesteps from the noisiest, then 0."""
    table = level_table(schedule)
    times = torch.linspace(len(table) - 1, 0, steps + 1)[:-1].round().long()
    return torch.cat([table[times].float(), torch.zeros(1)])


def _accelerated(leads: Sequence[Tensor], moves: Sequence[Tensor]) -> Tensor:
    """Where to look next: the combination of answers (B, C, h, w) that would have moved its point least (Anderson)."""
    if len(moves) == 1:
        return leads[-1]
    turns = torch.stack([(one - other).flatten(1) for one, other in pairwise(moves)], dim=1)  # (B, m, n)
    steps = torch.stack([(one - other).flatten(1) for one, other in pairwise(leads)], dim=1)  # (B, m, n)
    gram = turns @ turns.mT  # (B, m, m)
    gram = gram + DAMPING * gram.diagonal(dim1=1, dim2=2).mean(1).view(-1, 1, 1) * torch.eye(len(gram[0])).to(gram)
    shares = torch.linalg.solve(gram, turns @ moves[-1].flatten(1).unsqueeze(-1))  # (B, m, 1)
    return leads[-1] - (shares * steps).sum(1).view_as(leads[-1])


def _length(latent: Tensor) -> Tensor:
    """(B, 1, 1, 1) root mean square."""
    return latent.square().mean((1, 2, 3), keepdim=True).sqrt()
