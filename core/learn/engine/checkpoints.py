"""Who keeps the states of trainings; a host does, in files."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

State = Mapping[str, Tensor]


class Keeper(Protocol):
    """Keeps states of trainings; a host writes them to files."""

    @property
    def every(self) -> int:
        """Updates between two states, at least 1."""
        ...

    def load(self, fingerprint: str) -> State | None:
        """The last state that was saved under this fingerprint; None for none."""
        ...

    def save(self, fingerprint: str, state: State) -> None:
        """Keep a state in place of the one before."""
        ...

    def discard(self, fingerprint: str) -> None:
        """The training has ended: its state is of no more use."""
        ...
