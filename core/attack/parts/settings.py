"""How attacks on an erasure draw and train."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...learn.parts.prompts import check_template
from ...settings import setting


@dataclass(frozen=True)
class AttackSettings:
    """What all scenarios share. Raises ``ValueError`` for values outside their range."""

    draws: int = setting(8, "Pictures of each scenario.")
    steps: int = setting(20, "Sampling steps of each picture.")
    guidance: float = setting(7.5, "Guidance of pictures that are drawn with a prompt.")
    side: int = setting(512, "Side of the pictures in pixels.")
    batch: int = setting(4, "Pictures drawn at once.")
    template: str = setting("a photo of a {}", "Sentence that words are asked for in.")
    shown: int = setting(8, "Pictures of the concept that attacks with pictures use, at most.")
    learn_steps: int = setting(1000, "Training steps of an embedding.")
    learn_rate: float = setting(5e-3, "Learning rate of an embedding.")
    inversion_passes: int = setting(3, "Model passes for each step of an inversion.")
    noise: float = setting(0.6, "Share of the sampling steps that a picture goes through again (img2img).")
    relearn_steps: int = setting(200, "Training steps of the re-learning curve.")
    relearn_every: int = setting(20, "Training steps between two points of the curve.")
    relearn_rate: float = setting(1e-4, "Learning rate of the re-learning curve.")
    relearn_rank: int = setting(8, "Rank of the change that is re-learnt.")
    relearn_batch: int = setting(2, "Pictures that a training step of the curve reads.")

    def __post_init__(self) -> None:
        whole = ("draws", "steps", "side", "batch", "shown", "learn_steps", "inversion_passes", "relearn_steps")
        for name in (*whole, "relearn_every", "relearn_rank", "relearn_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learn_rate", "relearn_rate", "guidance"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if not 0 < self.noise <= 1:
            raise ValueError(f"noise must be above 0 and at most 1, got {self.noise}")
        check_template(self.template)

    @property
    def points(self) -> tuple[int, ...]:
        """Training steps at which the re-learning curve is measured, from 0 to the last step."""
        return (*range(0, self.relearn_steps, self.relearn_every), self.relearn_steps)


PRESETS: Mapping[str, Any] = {
    "paper": AttackSettings(),
    "small": AttackSettings(
        draws=4,
        steps=12,
        guidance=3.5,
        side=128,
        batch=8,
        learn_steps=120,
        learn_rate=1e-2,
        relearn_steps=40,
        relearn_every=10,
        relearn_rate=1e-3,
    ),
}
"""``paper`` for models of 512 pixels, with budgets as published attacks have them; ``small`` for the lab model."""
