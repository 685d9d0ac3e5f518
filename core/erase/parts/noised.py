"""Pictures at random noises, which methods train on that look at pictures."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...learn.engine.loop import draw_timesteps
from .pictures import Draws, TaskPictures, sentence
from .rollouts import Visit
from .task import EraseTask


@dataclass(frozen=True, eq=False)
class NoisedVisit(Visit):
    """A visit whose clean latents are known.

    Attributes:
        target: (B, C, h, w), what training compares the prediction with.
    """

    target: Tensor


class Noised:
    """Visits of a few pictures at a time, each at its own noise and timestep, in one sentence drawn at random.

    Args:
        task: what to erase.
        settings: the sentences.
        pictures: of what the task names.
        batch: how many a visit has, cut to those that there are.
        generator: the random source.
        latest: share of the timesteps that are drawn from, from the clean end.
    """

    def __init__(
        self,
        task: EraseTask,
        settings: Draws,
        pictures: TaskPictures,
        batch: int,
        generator: torch.Generator,
        latest: float = 1.0,
    ) -> None:
        self._task, self._settings, self._batch = task, settings, batch
        self._pictures, self._generator, self._latest = pictures, generator, latest

    def visit(self, step: int) -> NoisedVisit:
        """What to train on at an update; drawn anew at each call."""
        schedule, generator = self._task.backbone.schedule, self._generator
        rows = torch.randperm(len(self._pictures.concepts), generator=generator)[: self._batch].tolist()
        clean = self._pictures.latents[rows]  # (B, C, h, w)
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        timestep = draw_timesteps(schedule.steps, (0.0, self._latest), len(rows), generator).to(clean.device)
        concepts = torch.tensor([self._pictures.concepts[row] for row in rows])
        template = int(torch.randint(len(self._settings.templates), (), generator=generator))
        noisy = schedule.add_noise(clean, noise, timestep)
        return NoisedVisit(noisy, timestep, concepts, template, schedule.target(clean, noise))

    def sentences(self, template: int, words: list[str]) -> list[str]:
        """Words in a sentence; the empty word is the empty text."""
        return [sentence(self._settings, template, word) for word in words]

    def state(self) -> dict[str, Tensor]:
        """Nothing: pictures are made again from the seed."""
        return {}

    def restore(self, updates: int, state: Mapping[str, Tensor]) -> None:
        """Go on from a :meth:`state`."""
