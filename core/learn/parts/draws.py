"""Which of the pictures an update is about."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...messages import there_are


def choose(count: int, generator: torch.Generator) -> int:
    """One of ``count`` pictures, each as likely; of a single one nothing is drawn."""
    return int(torch.randint(count, (1,), generator=generator)) if count > 1 else 0


class Draws:
    """How likely each picture of a training is drawn; without weights each as likely as another.

    Drawing a picture as often as it weighs has the gradient of the weighted loss, in the mean.

    Attributes:
        given: K weights, 0 or more, not all 0; none for none.
        weights: (K,) that are in force, which a training may change while it runs; None for none.
    """

    def __init__(self, weights: Sequence[float] = ()) -> None:
        self.given = tuple(weights)
        self.weights: Tensor | None = torch.tensor(weights, dtype=torch.float64) if weights else None

    def choose(self, count: int, generator: torch.Generator) -> int:
        """One of ``count`` pictures."""
        if self.weights is None:
            return choose(count, generator)
        return int(torch.multinomial(self.weights, 1, generator=generator))

    def check(self, count: int) -> None:
        """Raise ``ValueError`` unless the weights are those of ``count`` pictures."""
        if self.weights is None:
            return
        if len(self.weights) != count:
            counts = there_are((count, "picture"), (len(self.weights), "weight"))
            raise ValueError(f"{counts}; give one for each picture")
        fits = bool(torch.isfinite(self.weights).all()) and float(self.weights.min()) >= 0
        if not fits or not bool(self.weights.any()):
            given = ", ".join(f"{weight:g}" for weight in self.weights.tolist())
            raise ValueError(f"weights of pictures must be 0 or more, and one of them above 0; got {given}")


EVEN = Draws()
"""Each picture as likely as another."""
