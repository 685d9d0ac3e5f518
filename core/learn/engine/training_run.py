"""Where a training stands, so that one that was cancelled goes on from there instead of from its beginning.

Everything that was prepared (starting vectors, prior pictures, composed pictures) follows from the task and its seed
and is made again; kept is what the updates changed: vectors, the optimiser's moments, the random source, and what a
method remembers beside them. A training that goes on ends with the same tokens as one that was never interrupted.
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ...backbone import Backbone
from .checkpoints import State
from .loop import Optimisation
from .task import Task, Training


def fingerprint(task: Task[Any]) -> str:
    """What a state belongs to, 32 hexadecimal digits: the method, its settings, words, seed, pictures, masks, model.

    Of the model its cross-attention projections and the encoding of the training sentence are read, with whatever
    patches are in force.
    """
    digest = hashlib.sha256(f"{task.backbone.family} {task.concepts.names}".encode())
    for name, value in sorted(task.metadata().items()):
        digest.update(f"{name}={value};".encode())
    for tensor in (*_of_model(task.backbone, task.settings.template), *_of_pictures(task)):
        digest.update(str((tuple(tensor.shape), tensor.dtype)).encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


class Stand:
    """One training, phase by phase, its state kept every so many updates.

    Attributes:
        passes: samples that went through the denoiser before the state that was taken up.
        resumed: updates that had been made by then, 0 for a training from its beginning.
    """

    def __init__(self, task: Task[Any], training: Training, generator: torch.Generator) -> None:
        self.training, self.generator, self.keeper = training, generator, task.keeper
        self.fingerprint = fingerprint(task) if task.keeper is not None else ""
        self.passes = self.resumed = 0
        self._finished: list[Tensor] = []  # losses of the phases before this one
        self._enter(0)

    @property
    def updates(self) -> int:
        """How many were made."""
        return sum(map(len, self._finished)) + len(self._loop.losses)

    def take_up(self) -> None:
        """Go on from what was kept, where something was."""
        state = self.keeper.load(self.fingerprint) if self.keeper is not None else None
        if state is None:
            return
        self._enter(int(state["phase"]))
        with torch.no_grad():
            for name, leaf in self._leaves().items():
                leaf.copy_(state[name])
        self._finished = list(state["losses"].split(state["lengths"].tolist()))
        self._loop.restore(_part(state, "loop."))
        self.generator.set_state(state["generator"])
        self.passes, self.resumed = int(state["passes"]), self.updates
        self.training.restore(self.updates, _part(state, "hidden."))

    def run(self, passes: Callable[[], int], report: Callable[[int, float], None] | None) -> Tensor:
        """Make the updates that are left.

        Args:
            passes: how many samples went through the denoiser since :meth:`take_up`.
            report: told the number of updates and the last loss after each.

        Returns:
            float32 losses of all updates.
        """

        def after(_: int, loss: float) -> None:
            if self.keeper is not None and self.updates % self.keeper.every == 0:
                self.keeper.save(self.fingerprint, self._state(self.passes + passes()))
            if report is not None:
                report(self.updates, loss)

        for number in range(self._phase, len(self.training.phases)):
            if number != self._phase:
                self._enter(number)
            losses = self._loop.run(self.training.phases[number].loss_of, after)
            self._finished.append(losses)
            self._loop.losses = []
        if self.keeper is not None:
            self.keeper.discard(self.fingerprint)
        return torch.cat(self._finished)

    def _enter(self, number: int) -> None:
        phase = self.training.phases[number]
        self._phase, self._loop = number, Optimisation(phase.parameters, phase.loop, phase.shares)

    def _state(self, passes: int) -> dict[str, Tensor]:
        empty = torch.zeros(0)
        return {
            "phase": torch.tensor(self._phase),
            "passes": torch.tensor(passes),
            "losses": torch.cat([empty, *self._finished]),
            "lengths": torch.tensor([len(losses) for losses in self._finished], dtype=torch.long),
            "generator": self.generator.get_state(),
            **{name: leaf.detach().cpu().clone() for name, leaf in self._leaves().items()},
            **{f"loop.{name}": tensor for name, tensor in self._loop.state().items()},
            **{f"hidden.{name}": tensor.detach().cpu().clone() for name, tensor in self.training.hidden().items()},
        }

    def _leaves(self) -> dict[str, Tensor]:
        """What the phases up to now train, each leaf once."""
        known: dict[int, str] = {}
        leaves: dict[str, Tensor] = {}
        for number, phase in enumerate(self.training.phases[: self._phase + 1]):
            for index, leaf in enumerate(phase.parameters):
                name = known.setdefault(id(leaf), f"leaf.{number}.{index}")
                leaves[name] = leaf
        return leaves


def _part(state: State, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _of_model(backbone: Backbone, template: str) -> Iterable[Tensor]:
    with torch.no_grad():
        yield backbone.encode_text([template.replace("{}", "")]).context
    for weight in backbone.key_value_weights():
        yield weight.weight


def _of_pictures(task: Task[Any]) -> Iterable[Tensor]:
    for source in task.sources:
        yield from (source.picture, source.concepts.masks, source.concepts.targets)
