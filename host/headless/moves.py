"""What moves the latent before each step of a sampling run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ...core.backbone import AttentionCall, Tap
from ...core.compose.parts.steering import LatentStep


@dataclass(eq=False)
class Moves:
    """What moves the latent before each step.

    Attributes:
        steps: of the compositions.
        now: whether they run now; what they read of the attention is not for captures.
    """

    steps: tuple[LatentStep, ...]
    now: bool = False

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Within the context they run."""
        self.now = True
        try:
            yield
        finally:
            self.now = False

    def except_while_moving(self, tap: Tap) -> Tap:
        """A tap that is not called while the latent moves."""

        def tapped(call: AttentionCall) -> None:
            if not self.now:
                tap(call)

        return tapped
