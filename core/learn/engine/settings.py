"""What every way of learning tokens can be told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ...types import ConceptTokens
from ..parts.tokens import Start
from .loop import LoopSettings

T = TypeVar("T")

OnStep = Callable[[int, int, float, ConceptTokens], None]
"""Called after every update with: finished updates, all updates, loss, tokens so far. What it raises ends the
training."""


def told(default: T, text: str) -> T:
    """A dataclass field with a help text for people in its metadata."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class LearnSettings:
    """What all methods share; each adds its own. Each field's help is in its metadata.

    Raises ``ValueError`` for values outside their range.
    """

    steps: int = told(500, "Training steps.")
    rate: float = told(5e-4, "Learning rate at the start.")
    final_rate: float = told(1.0, "Share of the learning rate left at the last step, 0..1.")
    weight_decay: float = told(1e-2, "Pull of the vectors towards zero (AdamW).")
    clip_norm: float = told(1.0, "Largest norm of the gradient.")
    patience: int = told(
        0, "Stop when the mean loss of so many steps is no lower than that of as many before; 0: never."
    )
    tolerance: float = told(0.0, "Share by which the mean loss must have fallen to go on, with patience.")
    flip: float = told(0.5, "Share of steps on the mirrored picture, 0..1.")
    timesteps: tuple[float, float] = told((0.0, 1.0), "Span of noise levels trained on: 0 is clean, 1 is pure noise.")
    template: str = told("a photo of {}", "Training sentence; {} is where concepts go.")
    start: Start = told(
        "rare", "Start without a word: rare rows, near their average, or nearest, a real word that fits."
    )
    vectors: int = told(1, "Vectors per token.")
    class_weight: float = told(0.0, "Weight of staying what the class word says (ClassDiffusion); needs class words.")
    class_template: str = told("a photo of a {}", "Sentence in which a token before its class word is read.")

    def __post_init__(self) -> None:
        low, high = self.timesteps
        if not 0 <= low < high <= 1:
            raise ValueError(f"timesteps must be a span within 0..1, got {self.timesteps}")
        if not (0 <= self.flip <= 1 and 0 <= self.final_rate <= 1):
            raise ValueError(f"flip and final_rate must be in 0..1, got {self.flip} and {self.final_rate}")
        if self.vectors < 1:
            raise ValueError(f"a token needs at least 1 vector, got {self.vectors}")
        if not self.class_weight >= 0:
            raise ValueError(f"class_weight must be 0 or more, got {self.class_weight}")
        _ = self.loop  # checks what concerns the optimiser

    @property
    def loop(self) -> LoopSettings:
        """The part that concerns the optimiser, of a training that updates once a step."""
        return LoopSettings(
            self.steps, self.rate, self.final_rate, self.weight_decay, self.clip_norm, self.patience, self.tolerance
        )
