"""What is asked of a method of erasing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from torch import Tensor

from ...backbone import Backbone, Placeholders, TextChanges
from ...learn.engine.checkpoints import CheckpointStore
from ...steps import OnStep
from ...types import LowRank
from .settings import EraseSettings

S_co = TypeVar("S_co", bound=EraseSettings, covariant=True)


@dataclass(frozen=True, eq=False)
class SoFar:
    """What a training has changed up to now.

    Attributes:
        factors: weight name of the denoiser to its change.
        text: text encoder name to its changes by weight name.
    """

    factors: Mapping[str, LowRank] = field(default_factory=dict)
    text: TextChanges = field(default_factory=dict)

    @contextmanager
    def in_force(self, backbone: Backbone) -> Iterator[None]:
        """The backbone encodes and predicts with the changes inside the context."""
        with backbone.adapted(self.factors), backbone.text_changed(self.text):
            yield


Report = Callable[[int, int, float, Callable[[], SoFar]], None]
"""Called after every update of a training with: finished updates, all updates, loss, and what gives the change so far.
What it raises ends the training."""


@dataclass(frozen=True, eq=False)
class TrainingRequest:
    """What methods that train are asked beside.

    Attributes:
        seed: of all that is random.
        report: see :data:`Report`.
        store: keeps the state of the training, and gives it back to a training of the same task.
        pictures: (N, 3, H, W) in 0..1 for methods that train on some; None for none.
    """

    seed: int = 0
    report: Report | None = None
    store: CheckpointStore | None = None
    pictures: Tensor | None = None


@dataclass(frozen=True, eq=False)
class EraseTask(Generic[S_co]):
    """What to erase: the arguments of :meth:`~..eraser.Eraser.erase`, checked.

    Attributes:
        backbone: gives the text encoder and the weights, which are not changed.
        pairs: each concept with its anchor, what is to be read instead; ``""`` is the unconditional text.
        preserve: words or phrases whose encoding shall stay.
        settings: the method's own.
        placeholders: learnt tokens that the texts may name, ``"<apple>"`` to vectors.
        on_step: called with how many steps are done, texts that are encoded and the rest as one, of how many.
        training: what methods that train are asked beside.
    """

    backbone: Backbone
    pairs: tuple[tuple[str, str], ...]
    preserve: tuple[str, ...]
    settings: S_co
    placeholders: Placeholders | None = None
    on_step: OnStep | None = None
    training: TrainingRequest = field(default_factory=TrainingRequest)
