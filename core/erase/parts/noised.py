"""Pictures at random noises, which methods train on that look at pictures."""

from collections.abc import Container, Mapping, Sequence
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
        rows: B, which of the pictures.
    """

    target: Tensor
    rows: tuple[int, ...]


class Noised:
    """Visits of a few pictures at a time, each at its own noise and timestep, in one sentence drawn at random.

    Args:
        task: what to erase.
        settings: the sentences.
        pictures: of what the task names.
        batch: how many a visit has, cut to those that there are.
        generator: the random source.
        latest: share of the timesteps that are drawn from, from the clean end.
        weights: of each timestep, to draw them by instead.
        rows: which of the pictures are visited; all where none are named.
    """

    def __init__(
        self,
        task: EraseTask,
        settings: Draws,
        pictures: TaskPictures,
        batch: int,
        generator: torch.Generator,
        latest: float = 1.0,
        weights: Tensor | None = None,
        rows: Sequence[int] = (),
    ) -> None:
        self._task, self._settings, self._batch, self._weights = task, settings, batch, weights
        self._pictures, self._generator, self._latest = pictures, generator, latest
        self._rows = list(rows) or list(range(len(pictures.concepts)))

    def visit(self, step: int, among: Container[int] | None = None) -> NoisedVisit:
        """What to train on at an update; drawn anew at each call. ``among`` names concepts of the task whose pictures
        alone are visited."""
        schedule, generator = self._task.backbone.schedule, self._generator
        chosen = [row for row in self._rows if among is None or self._pictures.concepts[row] in among]
        turns = torch.randperm(len(chosen), generator=generator)[: self._batch].tolist()
        rows = [chosen[turn] for turn in turns]
        clean = self._pictures.latents[rows]  # (B, C, h, w)
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        timestep = self._timesteps(len(rows)).to(clean.device)
        concepts = torch.tensor([self._pictures.concepts[row] for row in rows])
        template = int(torch.randint(len(self._settings.templates), (), generator=generator))
        noisy = schedule.add_noise(clean, noise, timestep)
        return NoisedVisit(noisy, timestep, concepts, template, schedule.target(clean, noise), tuple(rows))

    def _timesteps(self, count: int) -> Tensor:
        if self._weights is not None:
            return torch.multinomial(self._weights, count, replacement=True, generator=self._generator)
        return draw_timesteps(self._task.backbone.schedule.steps, (0.0, self._latest), count, self._generator)

    def sentences(self, template: int, words: list[str]) -> list[str]:
        """Words in a sentence; the empty word is the empty text."""
        return [sentence(self._settings, template, word) for word in words]

    def state(self) -> dict[str, Tensor]:
        """Nothing: pictures are made again from the seed."""
        return {}

    def restore(self, updates: int, state: Mapping[str, Tensor]) -> None:
        """Go on from a :meth:`state`."""
