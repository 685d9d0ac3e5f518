"""What the methods have in common around their losses: input, phases, reports, and the result."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from ..backbone import Backbone, TokenVectors
from ..types import Concepts, ConceptTokens, LowRank, Source
from .classdiffusion import class_term
from .examples import aligned, check
from .loop import LoopSettings
from .passes import counted_passes
from .settings import LearnSettings, OnStep
from .state import Keeper, Stand

S = TypeVar("S", bound=LearnSettings)

LossOf = Callable[[int], Tensor]
"""Update counted from 0 within its phase, to a scalar loss."""


@dataclass(frozen=True)
class Task(Generic[S]):
    """What a method is asked to do; the arguments of every ``learn``.

    Attributes:
        method: its name in :data:`.methods.METHODS`.
        backbone: the model.
        picture: (1, 3, H, W) in 0..1.
        concepts: N concepts of it.
        settings: the method's own.
        words: concept name to a word its vectors start from.
        classes: concept name to the word for its kind.
        seed: of all that is drawn.
        on_step: who is told.
        more: further pictures of the same concepts.
        keeper: keeps where the training stands, and gives it back to a training of the same task.
    """

    method: str
    backbone: Backbone
    picture: Tensor
    concepts: Concepts
    settings: S
    words: Mapping[str, str] | None = None
    classes: Mapping[str, str] | None = None
    seed: int = 0
    on_step: OnStep | None = None
    more: Sequence[Source] = ()
    keeper: Keeper | None = None

    @property
    def sources(self) -> tuple[Source, ...]:
        """All pictures, each with the N concepts in the order of the first."""
        first = Source(self.picture, self.concepts)
        return (first, *(aligned(source, self.concepts.names) for source in self.more))

    def metadata(self) -> dict[str, str]:
        """What files say of the training."""
        return {
            "method": self.method,
            "settings": json.dumps(asdict(self.settings)),
            "template": self.settings.template,
            "words": json.dumps(dict(self.words or {})),
            "classes": json.dumps(dict(self.classes or {})),
            "seed": str(self.seed),
            "picture_size": json.dumps(list(self.concepts.picture_size)),
            "pictures": str(1 + len(self.more)),
        }


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one optimiser.

    Attributes:
        parameters: leaves to optimise, in place.
        loss_of: what is to become small.
        loop: how to optimise.
        shares: of the learning rate, one per parameter; empty gives all the whole.
    """

    parameters: Sequence[Tensor]
    loss_of: LossOf
    loop: LoopSettings
    shares: Sequence[float] = ()


@dataclass(frozen=True)
class Training:
    """How a method does its task.

    Attributes:
        phases: one after the other.
        tokens: concept name to its vectors (n, d) as they are now, part of the graph.
        adapter: weight name to its change as it is now, part of the graph; empty for methods that learn tokens alone.
        notes: further metadata, asked for at the end.
        hidden: what the updates changed beside the phases' parameters, by name.
        restore: takes that back, given the number of updates made; parameters have their values by then.
    """

    phases: Sequence[Phase]
    tokens: Callable[[], Mapping[str, TokenVectors]]
    adapter: Callable[[], Mapping[str, LowRank]] = dict
    notes: Callable[[], Mapping[str, str]] = dict
    hidden: Callable[[], Mapping[str, Tensor]] = dict
    restore: Callable[[int, Mapping[str, Tensor]], None] = lambda updates, hidden: None


def run(task: Task[S], prepare: Callable[[Task[S], torch.Generator], Training]) -> ConceptTokens:
    """Do a task: check it, prepare it with a generator of its seed, work off the phases. The model is not changed.

    The metadata says, beside the task's: ``passes``, samples that went through the denoiser; ``updates`` of the
    optimiser; ``loss_first`` and ``loss_last``, means over a tenth of the updates; ``resumed_at``, the updates that the
    task's keeper had a state of.

    Raises what ``prepare`` and the losses raise; ``ValueError`` for input that cannot be learnt from (see
    :func:`.examples.prepare`) and a class term without class words; ``FloatingPointError`` when training diverges.
    """
    for source in task.sources:
        check(source.picture, source.concepts)
    _check_names(task)
    with torch.inference_mode(False), torch.enable_grad(), counted_passes(task.backbone) as passes:
        generator = torch.Generator().manual_seed(task.seed)
        training = _with_class_term(task, prepare(task, generator))
        stand = Stand(task, training, generator)
        stand.take_up()
        prepared = passes.count if stand.resumed else 0  # made a second time, counted with the first
        losses = stand.run(lambda: passes.count - prepared, _reporter(task, training))
        spent = stand.passes + passes.count - prepared
        found = {"passes": str(spent), "updates": str(len(losses)), **training.notes(), **_ends(losses)}
        found |= {"resumed_at": str(stand.resumed)} if stand.resumed else {}
        return replace(_result(task, training), losses=losses, metadata=task.metadata() | found)


def _reporter(task: Task[S], training: Training) -> Callable[[int, float], None] | None:
    on_step, total = task.on_step, sum(phase.loop.steps for phase in training.phases)
    if on_step is None:
        return None
    return lambda done, loss: on_step(done, total, loss, _result(task, training))


def _result(task: Task[S], training: Training) -> ConceptTokens:
    """Copies on the CPU, free of the graph."""
    vectors = {name: {encoder: _copy(rows) for encoder, rows in of.items()} for name, of in training.tokens().items()}
    adapter = {name: LowRank(_copy(change.up), _copy(change.down)) for name, change in training.adapter().items()}
    return ConceptTokens(vectors, task.backbone.family, metadata=task.metadata(), adapter=adapter)


def _with_class_term(task: Task[S], training: Training) -> Training:
    weight = task.settings.class_weight
    if weight == 0:
        return training
    term = class_term(task.backbone, task.classes or {}, task.settings.class_template)

    def joined(phase: Phase) -> Phase:
        return replace(phase, loss_of=lambda step: phase.loss_of(step) + weight * term(training.tokens()))

    return replace(training, phases=[joined(phase) for phase in training.phases])


def _check_names(task: Task[S]) -> None:
    for said, given in (("initial words", task.words), ("class words", task.classes)):
        unknown = sorted(set(given or {}) - set(task.concepts.names))
        if unknown:
            raise ValueError(f"{said} for {', '.join(unknown)}, but the concepts are {', '.join(task.concepts.names)}")


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().float().cpu().clone()


def _ends(losses: Tensor) -> dict[str, str]:
    tenth = max(len(losses) // 10, 1)
    return {"loss_first": f"{losses[:tenth].mean():.6g}", "loss_last": f"{losses[-tenth:].mean():.6g}"}
