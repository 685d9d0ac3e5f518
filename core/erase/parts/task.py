"""What is asked of a method of erasing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ...backbone import Backbone, Placeholders
from ...learn.engine.checkpoints import CheckpointStore
from ...types import LowRank
from .settings import EraseSettings

S_co = TypeVar("S_co", bound=EraseSettings, covariant=True)

OnStep = Callable[[int, int], None]
"""Called with how many steps of how many are done: texts that are encoded, and the rest as one. May raise, to stop."""


Report = Callable[[int, int, float, Callable[[], Mapping[str, LowRank]]], None]
"""Called after every update of a training with: finished updates, all updates, loss, and what gives the change so far.
What it raises ends the training."""


@dataclass(frozen=True, eq=False)
class TrainingRequest:
    """What methods that train are asked beside.

    Attributes:
        seed: of all that is random.
        report: see :data:`Report`.
        store: keeps the state of the training, and gives it back to a training of the same task.
    """

    seed: int = 0
    report: Report | None = None
    store: CheckpointStore | None = None


@dataclass(frozen=True, eq=False)
class EraseTask(Generic[S_co]):
    """What to erase: the arguments of :meth:`~..eraser.Eraser.erase`, checked.

    Attributes:
        backbone: gives the text encoder and the weights, which are not changed.
        pairs: each concept with its anchor, what is to be read instead; ``""`` is the unconditional text.
        preserve: words or phrases whose encoding shall stay.
        settings: the method's own.
        placeholders: learnt tokens that the texts may name, ``"<apple>"`` to vectors.
        on_step: see :data:`OnStep`.
        training: what methods that train are asked beside.
    """

    backbone: Backbone
    pairs: tuple[tuple[str, str], ...]
    preserve: tuple[str, ...]
    settings: S_co
    placeholders: Placeholders | None = None
    on_step: OnStep | None = None
    training: TrainingRequest = field(default_factory=TrainingRequest)
