"""A run of a training whose state is saved, so that a cancelled training can be resumed.

Everything that was prepared (starting vectors, prior pictures, composed pictures) follows from the task and its seed
and is made again. The state holds what the updates changed: vectors, the optimiser's moments, the random source, and
the hidden state of the method. A resumed training ends with the same tokens as one that was never interrupted.
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ...backbone import Backbone
from .checkpoints import CheckpointStore, State
from .loop import Optimisation
from .state_checks import check_counts, check_generator, check_like, check_moments, whole_number
from .task import Task, Training


def fingerprint(task: Task[Any]) -> str:
    """Identifies what a state belongs to, 32 hexadecimal digits: method, settings, words, seed, pictures, masks, model.

    Of the model it reads the layers by which text enters, numbers of all other weights, the noise levels, and how the
    training sentence and the pictures are encoded, with the patches that are in force.
    """
    digest = hashlib.sha256(f"{task.backbone.family} {task.concepts.names}".encode())
    for name, value in sorted(task.metadata().items()):
        digest.update(f"{name}={value};".encode())
    for tensor in (*_of_model(task.backbone, task.settings.template), *_of_pictures(task)):
        digest.update(str((tuple(tensor.shape), tensor.dtype)).encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


class TrainingRun:
    """One training, phase by phase, whose state is saved every so many updates.

    Attributes:
        passes: samples that went through the denoiser before the state that was resumed.
        resumed: updates that had been made by then, 0 for a training from its beginning.
        set_aside: why a saved state was not resumed; empty where there was none, or it was resumed.
    """

    def __init__(
        self, training: Training, generator: torch.Generator, store: CheckpointStore | None, fingerprint: str
    ) -> None:
        self.training, self.generator, self.store, self.fingerprint = training, generator, store, fingerprint
        self.passes = self.resumed = 0
        self.set_aside = ""
        self._finished: list[Tensor] = []  # losses of the phases before this one
        self._enter(0)

    @property
    def updates(self) -> int:
        """Number of updates made so far."""
        return sum(map(len, self._finished)) + len(self._loop.losses)

    def resume(self) -> None:
        """Go on from the saved state; a state that no such training could have left is set aside."""
        state = self.store.load(self.fingerprint) if self.store is not None else None
        if self.store is None or state is None:
            return
        try:
            self._check(state)
            finished = list(state["losses"].split(state["lengths"].tolist()))
            self.training.restore(sum(map(len, finished)) + len(state["loop.losses"]), _part(state, "hidden."))
        except ValueError as error:
            self._enter(0)
            self.set_aside = str(error)
            self.store.set_aside(self.fingerprint, self.set_aside)
            return
        with torch.no_grad():
            for name, leaf in self._leaves().items():
                leaf.copy_(state[name])
        self._finished = finished
        self._loop.restore(_part(state, "loop."))
        self.generator.set_state(state["generator"])
        self.passes, self.resumed = int(state["passes"]), self.updates

    def _check(self, state: State) -> None:
        """Enter the phase of a state. Raises ``ValueError``, before anything else is changed, for one that is wrong."""
        phases = self.training.phases
        number = whole_number(state, "phase", below=len(phases))
        self._enter(number)
        current = state.get("loop.losses", torch.zeros(0))
        moments = {f"loop.{name}": tensor for name, tensor in self._loop.blank(made=len(current)).items()}
        check_like(state, {**self._state(0), **moments}, free=("losses", "lengths", "loop.losses"))
        whole_number(state, "passes")
        steps = [phase.loop.steps for phase in phases]
        check_counts(state["losses"], state["lengths"], steps[:number], current, steps[number])
        check_moments({name: state[name] for name in moments}, len(current))
        check_generator(state["generator"])

    def run(self, passes: Callable[[], int], report: Callable[[int, float], None] | None) -> Tensor:
        """Make the remaining updates.

        Args:
            passes: how many samples went through the denoiser since :meth:`resume`.
            report: called with the number of updates and the last loss after each.

        Returns:
            float32 losses of all updates.
        """

        def after(_: int, loss: float) -> None:
            if self.store is not None and self.updates % self.store.every == 0:
                self.store.save(self.fingerprint, self._state(self.passes + passes()))
            if report is not None:
                report(self.updates, loss)

        for number in range(self._phase, len(self.training.phases)):
            if number != self._phase:
                self._enter(number)
            phase = self.training.phases[number]
            losses = self._loop.run(phase.loss_of, after, phase.ended)
            self._finished.append(losses)
            self._loop.losses = []
        if self.store is not None:
            self.store.discard(self.fingerprint)
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
        """The tensors that the phases so far train, each once."""
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
    numbers = sorted(backbone.weight_numbers().items())
    yield torch.tensor([round(number, 4) for _, number in numbers])
    every = torch.arange(backbone.schedule.steps)
    yield backbone.schedule.add_noise(torch.ones(len(every), 1), torch.zeros(len(every), 1), every)


def _of_pictures(task: Task[Any]) -> Iterable[Tensor]:
    for source in task.sources:
        yield from (source.picture, source.concepts.masks, source.concepts.targets)
        with torch.no_grad():
            yield task.backbone.encode_image(source.picture.clone())
