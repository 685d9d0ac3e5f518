"""Settings of methods that train a low-rank change of the denoiser."""

from dataclasses import dataclass

from ...learn.engine.loop import LoopSettings
from ...learn.parts.adapter import Layers
from ...settings import setting
from .settings import EraseSettings, no_weight, require

LAYERS = (
    "Weights to change: text (keys and values of the text; on transformers the layer by which it enters), cross_value "
    "or cross_key_value (values, or keys and values, of cross-attention), cross (all of it) or all attention. On "
    "transformers these three read text and picture together."
)
"""What is said of the weights that a training changes."""


@dataclass(frozen=True)
class AdapterSettings(EraseSettings):
    """What all these methods share; each adds its own. Raises ``ValueError`` for values outside their range."""

    steps: int = setting(200, "Training steps for each concept.")
    rate: float = setting(1e-4, "Learning rate.")
    rank: int = setting(8, "Rank of the change of each weight.")
    layers: Layers = setting(
        "cross",
        LAYERS,
    )
    batch: int = setting(1, "Pictures that a step is trained on.")
    side: int = setting(512, "Side of these pictures in pixels: the model's own.")
    sampling_steps: int = setting(50, "Steps of the schedule by which they are drawn.")
    guidance: float = setting(3.0, "Guidance that they are drawn with.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "rank", "batch", "side", "sampling_steps"):
            require(getattr(self, name) > 0, name, getattr(self, name), "1 or more")
        require(self.rate > 0, "rate", self.rate, "above 0")

    def loop(self, concepts: int) -> LoopSettings:
        """How to optimise for so many concepts."""
        return LoopSettings(self.steps * concepts, self.rate, weight_decay=0.0, clip_norm=1.0)


@dataclass(frozen=True)
class TrainedSettings(AdapterSettings):
    """Of those whose loss holds preserved texts and the empty one. Raises ``ValueError`` for values outside their
    range."""

    retain: float = setting(0.0, "Weight of the loss that holds preserved texts and the empty text, 0 or more.")
    retain_batch: int = setting(2, "How many preserved texts a step reads.")
    surgery: float = setting(
        0.0, "Share of the erasing gradient that is taken out where it goes against the preserving one (DoCo), 0..1."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.retain_batch > 0, "retain_batch", self.retain_batch, "1 or more")
        require(self.retain >= 0, "retain", self.retain, "0 or more")
        require(0 <= self.surgery <= 1, "surgery", self.surgery, "0 to 1")
        require(not self.surgery or self.retain > 0, "retain", self.retain, "above 0 where surgery is")

    @property
    def preserve_note(self) -> str:
        return "" if self.retain else no_weight("retain")


@dataclass(frozen=True)
class RolloutSettings(TrainedSettings):
    """Of methods that train on pictures that the model begins to draw."""

    visits: int = setting(1, "How many steps of each drawn picture are trained on; 0 is every one.")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.visits <= self.sampling_steps, "visits", self.visits, f"0 to {self.sampling_steps}")

    @property
    def cost(self) -> str:
        """What a training costs, for people."""
        drawn = -(-self.steps // (self.visits or self.sampling_steps))
        return (
            f"for each concept: {self.steps} steps on {self.batch} picture{'s' * (self.batch > 1)}, each 3 to 4 passes "
            f"and one back; {drawn} times {self.sampling_steps} passes at most to draw them"
        )
