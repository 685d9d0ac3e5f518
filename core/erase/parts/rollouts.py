"""Pictures that the model as it was begins to draw of what is to be erased, and the steps that are trained on.

ESD (arXiv 2303.07345) denoises with the frozen model to one random step of a schedule and trains there. A rollout
passes every step before that; with more visits, several of them are trained on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ...backbone import Conditioning
from ...compose.guiders import ClassifierFree
from .pictures import sentence
from .task import EraseTask
from .trained_settings import RolloutSettings

Predict = Callable[[Tensor, Tensor, Conditioning], Tensor]
"""Latents, timesteps and conditionings of N rows to what a model predicts of each."""

Text = str | Conditioning
"""A text, or the conditioning of one row in its place."""


class Texts:
    """Conditionings of texts, each encoded once and kept; no gradients."""

    def __init__(self, task: EraseTask) -> None:
        self._task, self._rows = task, dict[str, Conditioning]()

    @property
    def device(self) -> torch.device:
        """Where conditionings are."""
        return self.of("").context.device

    def of(self, text: Text) -> Conditioning:
        """The conditioning of one row."""
        if isinstance(text, Conditioning):
            return text
        if text not in self._rows:
            with torch.no_grad():
                self._rows[text] = self._task.backbone.encode_text([text], self._task.placeholders)
        return self._rows[text]

    def predict(self, call: Predict, latent: Tensor, timestep: Tensor, texts: Sequence[Text]) -> Tensor:
        """What ``call`` predicts of N latents (N, C, h, w) at (N,) timesteps for N texts, in order.

        Texts of one length share a pass. Others have their own: a transformer reads a text that is repeated to a common
        length as another one. So has every text of a model that reads one text for all pictures of a pass.
        """
        rows = [self.of(text) for text in texts]
        passes: list[Any] = list(texts) if rows[0].one_text else [row.context.shape[1] for row in rows]
        if len(set(passes)) == 1:
            return call(latent, timestep, joined(rows))
        groups = [[at for at, one in enumerate(passes) if one == of] for of in dict.fromkeys(passes)]
        found = [call(latent[own], timestep[own], joined([rows[at] for at in own])) for own in groups]
        order = torch.tensor([at for own in groups for at in own], device=latent.device).argsort()
        return torch.cat(found)[order]


def joined(rows: Sequence[Conditioning]) -> Conditioning:
    """Conditionings of one length, one below the other; of one and the same text where texts cannot be joined."""
    if rows[0].one_text:
        return rows[0].of_rows(len(rows))
    context = torch.cat([row.context for row in rows])  # (B, L, D)
    return Conditioning(context, {key: torch.cat([row.extras[key] for row in rows]) for key in rows[0].extras})


@dataclass(frozen=True, eq=False)
class Visit:
    """One step of a rollout.

    Attributes:
        latent: (B, C, h, w) noisy latents.
        timestep: (B,) long.
        concepts: (B,) long, which of the task's concepts each row draws.
        template: which sentence they stand in.
    """

    latent: Tensor
    timestep: Tensor
    concepts: Tensor
    template: int


class Visits(Protocol):
    """Where the steps come from that are trained on."""

    def visit(self, step: int) -> Visit:
        """The step to train on at an update, counted from 0."""
        ...

    def sentences(self, template: int, words: list[str]) -> list[str]:
        """Words in a sentence; the empty word is the empty text."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What :meth:`restore` needs."""
        ...

    def restore(self, updates: int, state: Mapping[str, Tensor]) -> None:
        """Go on from a :meth:`state`. Raises ``ValueError`` for one that could not be."""
        ...


class Rollouts:
    """Rollouts, one after another, each visited as often as the settings say.

    Args:
        task: what to erase.
        texts: its conditionings.
        generator: the random source.
    """

    def __init__(self, task: EraseTask[RolloutSettings], texts: Texts, generator: torch.Generator) -> None:
        settings, backbone = task.settings, task.backbone
        self._task, self._texts, self._generator = task, texts, generator
        cells = max(1, settings.side // backbone.latent_downscale)
        self.visits = settings.visits or settings.sampling_steps
        self._size = (settings.batch, backbone.latent_channels, cells, cells)
        self._latents = torch.zeros(self.visits, *self._size)
        self._steps = torch.zeros(self.visits, dtype=torch.long)
        self._concepts, self._template = (
            torch.zeros(settings.batch, dtype=torch.long),
            torch.zeros((), dtype=torch.long),
        )

    def visit(self, step: int) -> Visit:
        """The step to train on at an update, counted from 0."""
        at = step % self.visits
        if at == 0:
            self._draw()
        times = self._times()[int(self._steps[at])]
        latent = self._latents[at].to(self._texts.device)
        timestep = torch.full((len(latent),), times, device=latent.device)
        return Visit(latent, timestep, self._concepts, int(self._template))

    def state(self) -> dict[str, Tensor]:
        """What :meth:`restore` needs to go on in the middle of a rollout."""
        return {
            "latents": self._latents,
            "steps": self._steps,
            "concepts": self._concepts,
            "template": self._template,
        }

    def restore(self, updates: int, state: Mapping[str, Tensor]) -> None:
        """Go on from a :meth:`state`. Raises ``ValueError`` for one that no rollout could have left."""
        if not bool((state["steps"] < self._task.settings.sampling_steps).all() and (state["steps"] >= 0).all()):
            raise ValueError("it visits steps that the schedule does not have")
        self._latents, self._steps = state["latents"].clone(), state["steps"].clone()
        self._concepts, self._template = state["concepts"].clone(), state["template"].clone()

    def sentences(self, template: int, words: list[str]) -> list[str]:
        """Words in a sentence; the empty word is the empty text."""
        return [sentence(self._task.settings, template, word) for word in words]

    def _times(self) -> list[int]:
        steps = self._task.backbone.schedule.steps
        return torch.linspace(steps - 1, 0, self._task.settings.sampling_steps + 1).round().long().tolist()

    @torch.no_grad()
    def _draw(self) -> None:
        """Sample with the model as it was, as far as the last step that is visited (DDIM, with guidance)."""
        task, settings, backbone = self._task, self._task.settings, self._task.backbone
        self._steps = torch.randperm(settings.sampling_steps, generator=self._generator)[: self.visits]
        self._concepts = torch.randint(len(task.pairs), (settings.batch,), generator=self._generator)
        self._template = torch.randint(len(settings.templates), (), generator=self._generator)
        words = [task.pairs[i][0] for i in self._concepts.tolist()]
        texts = [""] * len(words) + self.sentences(int(self._template), words)
        device = self._texts.device
        latent = torch.randn(self._size, generator=self._generator).to(device)  # (B, C, h, w)
        guider, times, schedule = ClassifierFree(settings.guidance), self._times(), backbone.schedule
        wanted = {step: at for at, step in enumerate(self._steps.tolist())}
        self._latents = torch.zeros(self.visits, *self._size)
        for step in range(max(wanted) + 1):
            if step in wanted:
                self._latents[wanted[step]] = latent.cpu()
            time = torch.full((2 * len(latent),), times[step], device=device)
            both = self._texts.predict(backbone.predict_noise, torch.cat([latent, latent]), time, texts)
            noise = guider.combine(*both.chunk(2))
            clean = schedule.clean_from_noise(noise, latent, time[: len(latent)])
            latent = schedule.add_noise(clean, noise, torch.full((len(latent),), times[step + 1], device=device))
