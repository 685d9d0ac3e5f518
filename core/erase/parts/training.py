"""The training that methods share: a low-rank change of the denoiser, its rollouts, what is kept, cancel and resume."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from ...learn.engine.task import Phase, Training
from ...learn.engine.training_run import TrainingRun
from ...learn.parts.adapter import AdapterBank, start_adapter
from ...types import Change, LowRank
from .rollouts import Rollouts, Text, Texts, Visit, Visits
from .saved import fingerprint
from .stacked import stacked
from .surgery import joined_loss
from .task import EraseTask, SoFar
from .trained_settings import TrainedSettings

Losses = Callable[["Student", Visit], tuple[Tensor, Tensor]]
"""The erasing loss of a visit, and what of the keeping loss a method has of its own (0 for nothing)."""


class Student:
    """The model under training, and the model as it was: one denoiser, with the change or without.

    Attributes:
        task: what to erase.
        bank: the change.
        texts: conditionings of texts.
        visits: the steps that are trained on; rollouts where nothing else is given.
        base: weight name to a change that is in force with the bank's, and that is not trained.
    """

    def __init__(
        self,
        task: EraseTask[Any],
        generator: torch.Generator,
        visits: Visits | None = None,
        base: Mapping[str, Change] | None = None,
    ) -> None:
        self.task, self.generator, self.texts = task, generator, Texts(task)
        settings, device = task.settings, self.texts.device
        self.base = {
            name: LowRank(change.up.to(device), change.down.to(device)) for name, change in stacked(base or {}).items()
        }
        self.bank: AdapterBank = start_adapter(
            task.backbone, settings.rank, settings.layers, generator=generator, device=device
        )
        self.visits: Visits = visits or Rollouts(task, self.texts, generator)
        self.kept = [text for text in dict.fromkeys(task.preserve) if text.strip()]

    def changes(self) -> dict[str, LowRank]:
        """The base and a copy of the change as it is now, free of the graph."""
        return stacked(self.base, self.bank.snapshot())

    def learnt(self, visit: Visit, *texts: Sequence[Text]) -> list[Tensor]:
        """Predictions (B, C, h, w) with the changes for each list of B texts; gradients reach the bank's."""
        backbone = self.task.backbone
        with backbone.adapted(self.base) if self.base else nullcontext(), self.bank.in_force(backbone):
            return self._predict(visit, texts)

    @torch.no_grad()
    def original(self, visit: Visit, *texts: Sequence[Text]) -> list[Tensor]:
        """Predictions of the model as it was."""
        return self._predict(visit, texts)

    def concepts(self, visit: Visit, anchors: bool = False) -> list[str]:
        """The sentences of a visit's concepts, or of their anchors; ``""`` for a concept without one."""
        words = [self.task.pairs[i][1 if anchors else 0] for i in visit.concepts.tolist()]
        return self.visits.sentences(visit.template, words)

    def preserved(self, visit: Visit) -> list[list[str]]:
        """A few preserved texts in the visit's sentence, each for every row, drawn anew at each call."""
        chosen = torch.randperm(len(self.kept), generator=self.generator)[: self.task.settings.retain_batch].tolist()
        sentences = self.visits.sentences(visit.template, [self.kept[i] for i in chosen])
        return [[sentence] * len(visit.latent) for sentence in sentences]

    def _predict(self, visit: Visit, texts: Sequence[Sequence[Text]]) -> list[Tensor]:
        latent, timestep = visit.latent.repeat(len(texts), 1, 1, 1), visit.timestep.repeat(len(texts))
        every = [text for group in texts for text in group]
        found = self.texts.predict(self.task.backbone.predict_target, latent, timestep, every)
        return list(found.float().chunk(len(texts)))


Start = Callable[[EraseTask[Any], torch.Generator], Student]


def train(
    method: str, task: EraseTask[TrainedSettings], losses_of: Losses, start: Start = Student
) -> tuple[Student, Tensor]:
    """Train and give the student and the loss of every update.

    The same seed gives the same change; a training that was cancelled goes on from its last kept state.

    Args:
        method: its name.
        task: what to erase.
        losses_of: see :data:`Losses`.
        start: makes the student, of the task and the random source.
    """
    settings = task.settings
    with torch.inference_mode(False), torch.enable_grad():
        generator = torch.Generator().manual_seed(task.training.seed)
        student = start(task, generator)
        parameters = student.bank.parameters()

        def loss_of(step: int) -> Tensor:
            erase, keep = losses_of(student, student.visits.visit(step))
            return joined_loss(erase, keep, settings.retain, parameters, settings.surgery)

        training = Training(
            [Phase(parameters, loss_of, settings.loop(len(task.pairs)))],
            tokens=dict,
            hidden=student.visits.state,
            restore=student.visits.restore,
        )
        return student, run(method, task, training, generator, lambda: SoFar(student.changes()), student.base)


def run(
    method: str,
    task: EraseTask[Any],
    training: Training,
    generator: torch.Generator,
    so_far: Callable[[], SoFar],
    base: Mapping[str, Change] | None = None,
) -> Tensor:
    """Make the updates of a training, the kept ones left out, and give the loss of each.

    Args:
        method: its name.
        task: what to erase.
        training: how.
        generator: its random source.
        so_far: gives the change up to now.
        base: changes by weight name that are in force beside what is trained.
    """
    asked, lengths = task.training, [phase.loop.steps for phase in training.phases]
    total = sum(lengths)

    def report(done: int, loss: float) -> None:
        if task.on_step is not None:
            task.on_step(done, total)
        if asked.report is not None:
            asked.report(done, total, loss, so_far)

    kept = TrainingRun(training, generator, asked.store, _identity(method, task, lengths, base) if asked.store else "")
    kept.resume()
    return kept.run(lambda: 0, report)


def _identity(method: str, task: EraseTask[Any], lengths: Sequence[int], base: Mapping[str, Change] | None) -> str:
    """Identifies what a state belongs to, 32 hexadecimal digits: method, lists, settings, pictures as the autoencoder
    encodes them, tokens, seed and model, with all weights of its denoiser; with several concepts also the lengths of
    the phases, which once were those of one concept; and changes in force beside what is trained."""
    said = [method, task.pairs, task.preserve, asdict(task.settings), task.training.seed, task.backbone.family]
    said += [list(lengths)] if len(task.pairs) > 1 else []
    digest = hashlib.sha256(json.dumps(said).encode())
    digest.update(fingerprint(task.backbone.key_value_weights()).encode())
    numbers = sorted((name, round(number, 4)) for name, number in task.backbone.weight_numbers().items())
    digest.update(json.dumps(numbers).encode())
    with torch.no_grad():
        read = [task.backbone.encode_text([concept], task.placeholders).context for concept, _ in task.pairs]
        given = task.training.pictures
        pictures = [] if given is None else [given, task.backbone.encode_image(given[:1])]
        beside = [change.dense().sum(0) for _, change in sorted((base or {}).items())]
    for tensor in (*read, *pictures, *beside):
        digest.update(f"{tuple(tensor.shape)}".encode() + tensor.detach().float().cpu().numpy().tobytes())
    for name, of in sorted((task.placeholders or {}).items()):
        for encoder, rows in sorted(of.items()):
            digest.update(f"{name} {encoder}".encode() + rows.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:32]


def loss_notes(losses: Tensor) -> dict[str, str]:
    """First and last loss, for the metadata: means over a tenth of the updates."""
    tenth = max(len(losses) // 10, 1)
    return {"loss_first": f"{float(losses[:tenth].mean()):.6g}", "loss_last": f"{float(losses[-tenth:].mean()):.6g}"}
