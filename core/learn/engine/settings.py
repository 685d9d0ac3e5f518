"""Settings of learning: those that every method has, and those of methods that change the model."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ...messages import listed
from ...settings import Settings, setting
from ...types import ConceptTokens
from ..parts.adapter import Layers
from ..parts.tokens import Start
from .loop import LoopSettings

OnStep = Callable[[int, int, float, ConceptTokens], None]
"""Called after every update with: finished updates, all updates, loss, tokens so far. What it raises ends the
training."""


@dataclass(frozen=True, kw_only=True)
class LearnSettings(Settings):
    """What all methods share; each adds its own. Each field's help is in its metadata.

    Raises ``ValueError`` for values outside their range.
    """

    steps: int = setting(500, "Training steps.")
    rate: float = setting(5e-4, "Learning rate of the first step.")
    final_rate: float = setting(1.0, "Share of the learning rate that is left at the last step, 0..1.")
    weight_decay: float = setting(1e-2, "Weight decay of the vectors (AdamW).")
    clip_norm: float = setting(1.0, "Largest norm of the gradient; longer ones are shortened.")
    patience: int = setting(
        0, "Stop when the mean loss of this many steps is no lower than that of as many before; 0 never stops early."
    )
    tolerance: float = setting(0.0, "Share by which the mean loss must fall for training to go on; used with patience.")
    flip: float = setting(0.5, "Share of steps on the mirrored picture, 0..1.")
    timesteps: tuple[float, float] = setting((0.0, 1.0), "Range of noise levels to train on: 0 is clean, 1 is noise.")
    template: str = setting("a photo of {}", "Training sentence; {} stands for the concepts.")
    start: Start = setting(
        "rare",
        "Where vectors start without a start word: rare takes rows of little-used tokens, average a point near their "
        "mean, nearest the real word that explains the concept best.",
    )
    vectors: int = setting(1, "Number of vectors per token.")
    class_weight: float = setting(0.0, "Weight of the class preservation loss (ClassDiffusion); needs class words.")
    class_template: str = setting(
        "a photo of a {}", "Sentence of the class preservation loss; {} stands for the token and its class word."
    )

    cycle_weight: float = setting(
        0.0,
        "Weight of the cycle loss: a token must be redrawn from where its attention lies. It takes two more passes in "
        "each update; 0 turns it off.",
    )
    mask_weight: float = setting(
        0.0,
        "Weight of the concept mask loss: attention to a token belongs inside its mask and not outside. It takes one "
        "more pass in each update; 0 turns it off.",
    )

    adaptive_rate: float = setting(
        0.0,
        "How far losses move the weights of pictures between their own loss and consistency (AdaWAC); the paper's is "
        "2. It needs several pictures and takes two more passes in each update; 0 turns it off.",
        least=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.timesteps
        if not 0 <= low < high <= 1:
            raise ValueError(f"timesteps must be a span within 0..1, got {self.timesteps}")
        if not (0 <= self.flip <= 1 and 0 <= self.final_rate <= 1):
            raise ValueError(f"flip and final_rate must be in 0..1, got {self.flip} and {self.final_rate}")
        if self.vectors < 1:
            raise ValueError(f"a token needs at least 1 vector, got {self.vectors}")
        weights = (self.class_weight, self.cycle_weight, self.mask_weight)
        if not all(weight >= 0 for weight in weights):
            given = listed(f"{weight:g}" for weight in weights)
            raise ValueError(f"class_weight, cycle_weight and mask_weight must be 0 or more, got {given}")
        _ = self.loop  # checks what concerns the optimiser

    @property
    def cost(self) -> str:
        """What a training costs, for people; N stands for the number of concepts."""
        return f"{self.steps} passes"

    @property
    def loop(self) -> LoopSettings:
        """The part that concerns the optimiser, of a training that updates once a step."""
        return LoopSettings(
            self.steps, self.rate, self.final_rate, self.weight_decay, self.clip_norm, self.patience, self.tolerance
        )


@dataclass(frozen=True, kw_only=True)
class TuningSettings(LearnSettings):
    """What methods with an adapter share. Each field's help is in its metadata.

    Raises ``ValueError`` for values outside their range.
    """

    rank: int = setting(16, "Rank of the change of the model; 0 learns tokens alone.")
    adapter_rate: float = setting(1e-4, "Learning rate of the change of the model.")
    layers: Layers = setting(
        "cross_key_value",
        "Weights to change: cross_value or cross_key_value (values, or keys and values, of cross-attention), cross "
        "(all of it), all attention, or text (keys and values of the text; on transformers the layer by which it "
        "enters).",
    )
    keep_start: bool = setting(True, "Keep the keys and values of the start-of-text token as they are.")
    attention_weight: float = setting(0.01, "Weight of the attention loss.")
    prior: int = setting(0, "Number of prior pictures, which the model draws before training; 0 draws none.")
    prior_weight: float = setting(1.0, "Weight of the prior preservation loss.")
    prior_steps: int = setting(20, "Sampling steps of each prior picture.")
    guidance: float = setting(4.0, "Guidance that prior pictures are drawn with.")
    downscale: int | None = setting(
        4,
        "Cross-attention layers to read: latent cells per grid cell along a side; none means every grid with at least "
        "least_side cells.",
    )
    least_side: int = setting(8, "Shorter side of the coarsest grid, when downscale is none.")
    longest_grid: int = setting(16, "Largest side of the attention grid compared on.")
    parts: int = setting(1, "Number of samples whose gradients an update averages.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.rank, self.prior, self.attention_weight, self.prior_weight) < 0:
            raise ValueError("rank, prior, attention_weight and prior_weight must be 0 or more")
        if min(self.longest_grid, self.least_side, self.prior_steps) < 1:
            raise ValueError("longest_grid, least_side and prior_steps must be at least 1")
        if not self.adapter_rate > 0:
            raise ValueError(f"adapter_rate must be above 0, got {self.adapter_rate}")

    @property
    def cost(self) -> str:
        return self._cost()

    def _cost(self, prior_updates: int | None = None, others: str = "") -> str:
        """The cost where this many updates (None: all) see a prior picture; ``others`` are passes for other things."""
        passes = f"{self.steps * self.parts} passes"
        with_prior = bool(self.prior and self.prior_weight)
        on_prior = (self.steps if prior_updates is None else prior_updates) * self.parts
        drawn = 2 * self.prior * self.prior_steps  # with and without the prompt
        parts = [
            passes,
            f"{on_prior} on prior pictures" if with_prior else "",
            others,
            f"{drawn} to draw the prior pictures" if with_prior else "",
        ]
        return ", ".join(part for part in parts if part)

    @property
    def loop(self) -> LoopSettings:
        return replace(super().loop, parts=self.parts)
