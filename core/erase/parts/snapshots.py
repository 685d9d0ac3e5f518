"""Snapshots of a training, of which one is taken: the first that erases.

Fuchi and Takagi (arXiv 2405.07288) keep the text encoder of every epoch and leave the choice to people. Here a measure
chooses, and all snapshots' measures are handed out.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor


class Snapshots:
    """Takes the first snapshot whose measure is at or below ``enough``, or the one with the least.

    Args:
        every: updates between two snapshots.
        steps: all updates; the last is always a snapshot.
        parameters: what is kept of the moment.
        measure: how much of the concept is left; without gradients.
        enough: see above.

    Attributes:
        kept: copies of the parameters at the snapshot that is taken.
    """

    def __init__(
        self, every: int, steps: int, parameters: Sequence[Tensor], measure: Callable[[], float], enough: float
    ) -> None:
        self._parameters, self._measure, self._enough = list(parameters), measure, enough
        self._at = [*range(every, steps, every), steps]
        self._left = torch.zeros(len(self._at))
        self._taken = torch.zeros(2, dtype=torch.long)  # snapshots so far, and which of them is taken, from 1
        self.kept = [parameter.detach().clone() for parameter in self._parameters]

    def take(self, updates: int) -> bool:
        """Take the snapshot after so many updates, if one is due and was not taken yet; gives whether the one that is
        taken now is enough."""
        done = int(self._taken[0])
        if done == len(self._at) or updates != self._at[done]:
            return self.enough
        with torch.no_grad():
            left = self._measure()
            self._left[done] = left
            best = float(self._left[int(self._taken[1]) - 1]) if done else float("inf")
            if best > self._enough and left < best:
                self.kept = [parameter.detach().clone() for parameter in self._parameters]
                self._taken[1] = done + 1
        self._taken[0] = done + 1
        return self.enough

    @property
    def enough(self) -> bool:
        """Whether a snapshot was taken whose measure is at or below the setting."""
        return int(self._taken[1]) > 0 and self.taken[1] <= self._enough

    @property
    def measures(self) -> list[tuple[int, float]]:
        """Updates and measure of every snapshot so far."""
        done = int(self._taken[0])
        return list(zip(self._at[:done], self._left[:done].tolist(), strict=True))

    @property
    def taken(self) -> tuple[int, float]:
        """Updates and measure of the snapshot that is taken."""
        return self.measures[int(self._taken[1]) - 1]

    def state(self) -> dict[str, Tensor]:
        """What :meth:`restore` needs."""
        kept = {f"kept.{index}": tensor for index, tensor in enumerate(self.kept)}
        return {"left": self._left, "taken": self._taken, **kept}

    def restore(self, updates: int, state: Mapping[str, Tensor]) -> None:
        """Go on from a :meth:`state`. Raises ``ValueError`` for one that no training could have left."""
        done, chosen = state["taken"].tolist()
        # A state is kept before the snapshot that is due after the same update.
        due = sum(at < updates for at in self._at)
        if done not in (due, due + 1) or not (0 <= chosen <= done) or (done > 0 and chosen == 0):
            raise ValueError(f"it has taken {done} snapshots after {updates} updates, expected {due}")
        self._left, self._taken = state["left"].clone(), state["taken"].clone()
        self.kept = [
            state[f"kept.{index}"].to(parameter).detach().clone() for index, parameter in enumerate(self._parameters)
        ]
