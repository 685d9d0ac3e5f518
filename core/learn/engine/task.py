"""A task, which says what to learn, and a training, which says how a method learns it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Generic, TypeVar

from torch import Tensor

from ...backbone import Backbone, TokenVectors
from ...types import Concepts, LowRank, Source
from ..parts.draws import Draws
from ..parts.examples import aligned
from .checkpoints import CheckpointStore
from .loop import LoopSettings
from .settings import LearnSettings, OnStep

S = TypeVar("S", bound=LearnSettings)

LossOf = Callable[[int], Tensor]
"""Update counted from 0 within its phase, to a scalar loss."""


@dataclass(frozen=True, eq=False)
class Task(Generic[S]):
    """What to learn: the arguments of :meth:`.method.Method.learn`.

    Attributes:
        method: the name of the method, see :data:`..registry.METHODS`.
        backbone: the model.
        picture: (1, 3, H, W) in 0..1.
        concepts: N concepts of it.
        settings: the method's own.
        words: concept name to a word its vectors start from.
        classes: concept name to the word for its kind.
        seed: random seed of everything that is drawn.
        on_step: called after every update.
        more: further pictures of the same concepts.
        store: keeps the state of the training, and gives it back to a training of the same task.
        draws: how likely each picture is drawn.
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
    store: CheckpointStore | None = None
    draws: Draws = field(default_factory=Draws)

    @property
    def sources(self) -> tuple[Source, ...]:
        """All pictures, each with the N concepts in the order of the first."""
        first = Source(self.picture, self.concepts)
        return (first, *(aligned(source, self.concepts.names) for source in self.more))

    def metadata(self) -> dict[str, str]:
        """What token files record of the training."""
        weights = {"weights": json.dumps(list(self.draws.given))} if self.draws.given else {}
        return {
            "method": self.method,
            "settings": json.dumps(asdict(self.settings)),
            "template": self.settings.template,
            "words": json.dumps(dict(self.words or {})),
            "classes": json.dumps(dict(self.classes or {})),
            "seed": str(self.seed),
            "picture_size": json.dumps(list(self.concepts.picture_size)),
            "pictures": str(1 + len(self.more)),
            **weights,
        }


@dataclass(frozen=True, eq=False)
class Phase:
    """A stretch of training with one optimiser.

    Attributes:
        parameters: leaf tensors to optimise, in place.
        loss_of: the loss to minimise.
        loop: how to optimise.
        shares: shares of the learning rate, one per parameter; empty gives each the whole.
        ended: whether the phase is at its end after so many updates; asked before each.
        trains_tokens: whether tokens are among the parameters; losses on tokens are added to such phases alone.
    """

    parameters: Sequence[Tensor]
    loss_of: LossOf
    loop: LoopSettings
    shares: Sequence[float] = ()
    ended: Callable[[int], bool] = lambda made: False
    trains_tokens: bool = True


@dataclass(frozen=True, eq=False)
class Training:
    """How a method learns what a task asks for.

    Attributes:
        phases: one after the other.
        tokens: concept name to its vectors (n, d) as they are now, part of the graph.
        adapter: weight name to its change as it is now, part of the graph; empty for methods that learn tokens alone.
        notes: further metadata, read at the end.
        hidden: state that updates change beside the phases' parameters, by name.
        restore: puts a saved hidden state back, given the number of updates made; for values that cannot be it raises
            ``ValueError`` and changes nothing.
    """

    phases: Sequence[Phase]
    tokens: Callable[[], Mapping[str, TokenVectors]]
    adapter: Callable[[], Mapping[str, LowRank]] = dict
    notes: Callable[[], Mapping[str, str]] = dict
    hidden: Callable[[], Mapping[str, Tensor]] = dict
    restore: Callable[[int, Mapping[str, Tensor]], None] = lambda updates, hidden: None
