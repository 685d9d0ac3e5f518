"""A guard that goes with a MODEL: every sampling run on it begins a run of its own."""

from dataclasses import dataclass
from typing import Any

from ...core.backbone import Backbone
from ...core.erase.guards.guard import Guard, Guarded, GuardRun, GuardTask


@dataclass(frozen=True, eq=False)
class SampledGuard:
    """What is kept out of pictures, and how.

    Attributes:
        guard: the method.
        concepts: what to keep out.
        settings: the method's own kind.
        strength: factor on the correction.
        original: the MODEL before anything was erased; None for the one that is sampled.
        seed: of what the guard draws.
    """

    guard: Guard[Any]
    concepts: tuple[Guarded, ...]
    settings: Any
    strength: float = 1.0
    original: Any = None
    seed: int = 0

    def begin(self, backbone: Backbone, original: Backbone) -> GuardRun:
        """What acts in one sampling run."""
        return self.guard.begin(GuardTask(backbone, original, self.concepts, self.settings, self.strength, self.seed))
