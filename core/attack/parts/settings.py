"""How attacks on an erasure draw and train."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...learn.parts.adapter import Layers
from ...learn.parts.prompts import check_template
from ...settings import Settings, setting


@dataclass(frozen=True)
class AttackSettings(Settings):
    """What all scenarios share. Raises ``ValueError`` for values outside their range."""

    draws: int = setting(8, "Pictures of each scenario.", least=1, most=4096)
    steps: int = setting(20, "Sampling steps of each picture.", least=1)
    guidance: float = setting(7.5, "Guidance of pictures that are drawn with a prompt.", above=0)
    side: int = setting(512, "Side of the pictures in pixels.", least=1)
    batch: int = setting(4, "Pictures drawn at once.", least=1)
    template: str = setting("a photo of a {}", "Sentence that words are asked for in.")
    shown: int = setting(8, "Pictures of the concept that attacks with pictures use, at most.", least=1)
    learn_steps: int = setting(1000, "Training steps of an embedding.", least=1)
    learn_rate: float = setting(5e-3, "Learning rate of an embedding.", above=0)
    inversion_passes: int = setting(3, "Model passes for each step of an inversion.", least=1)
    noise: float = setting(
        0.6, "Share of the sampling steps that a picture goes through again (img2img).", above=0, most=1
    )
    relearn_steps: int = setting(200, "Training steps of the re-learning curve.", least=1)
    relearn_every: int = setting(20, "Training steps between two points of the curve.", least=1)
    relearn_rate: float = setting(1e-4, "Learning rate of the re-learning curve.", above=0)
    relearn_rank: int = setting(8, "Rank of the change that is re-learnt.", least=1)
    relearn_layers: Layers = setting(
        "cross",
        "Weights of which a change is re-learnt: cross_value, cross_key_value, cross (all of cross-attention, or all "
        "attention of models whose text and picture share it), all, or text (those by which text enters).",
    )
    relearn_batch: int = setting(2, "Pictures that a training step of the curve reads.", least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
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
