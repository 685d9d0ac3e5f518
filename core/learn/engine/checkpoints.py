"""Where the states of unfinished trainings are kept; a host keeps them in files."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

State = Mapping[str, Tensor]


class CheckpointStore(Protocol):
    """Keeps the last state of each unfinished training."""

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
        """Delete the state of a training that has ended."""
        ...

    def set_aside(self, fingerprint: str, why: str) -> None:
        """The state is no good: keep it out of the way of the training, which starts anew, and say so."""
        ...
