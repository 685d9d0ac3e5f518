"""What is asked of a method of erasing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ...backbone import Backbone, Placeholders
from .settings import EraseSettings

S_co = TypeVar("S_co", bound=EraseSettings, covariant=True)

OnStep = Callable[[int, int], None]
"""Called with how many steps of how many are done: texts that are encoded, and the rest as one. May raise, to stop."""


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
    """

    backbone: Backbone
    pairs: tuple[tuple[str, str], ...]
    preserve: tuple[str, ...]
    settings: S_co
    placeholders: Placeholders | None = None
    on_step: OnStep | None = None
