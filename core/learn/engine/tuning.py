"""What the methods that tune a model beside learning tokens have in common.

Whole weight matrices, which the papers train, stand as low-rank changes here (:mod:`.adapter`); the text encoder,
which Break-A-Scene trains as well, stays as it is. Texts, pictures and losses are each method's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...attention.words import find_word
from ...backbone import AttentionSite, Backbone
from ...schedule import add_noise
from ..parts.adapter import AdapterBank, Layers, start_adapter
from ..parts.prior import Prior, draw_prior
from ..parts.prompts import placeholder
from ..parts.token_maps import Spot, choose_sites, common_grid, recorded_tokens
from ..parts.tokens import TokenBank, start_bank
from .loop import LoopSettings, draw_timesteps
from .settings import LearnSettings, told
from .training import Phase, S, Task, Training


@dataclass(frozen=True, kw_only=True)
class TuningSettings(LearnSettings):
    """What methods with an adapter share. Each field's help is in its metadata.

    Raises ``ValueError`` for values outside their range.
    """

    rank: int = told(16, "Rank of the change of the model; 0 learns tokens alone.")
    adapter_rate: float = told(1e-4, "Learning rate of the change of the model.")
    layers: Layers = told(
        "cross_key_value", "What is changed: cross_key_value (how text is read), cross (all of it) or all attention."
    )
    keep_start: bool = told(True, "Leave how the start-of-text token is read as it is.")
    attention_weight: float = told(0.01, "Weight of what the method asks of attention.")
    prior: int = told(0, "Pictures of the kind that the model draws first and must not forget; 0: none.")
    prior_weight: float = told(1.0, "Weight of not forgetting them.")
    prior_steps: int = told(20, "Sampling steps of each.")
    guidance: float = told(4.0, "Guidance they are drawn with.")
    downscale: int | None = told(
        4,
        "Cross-attention layers compared: latent cells per grid cell along a side; none means every grid with at least "
        "least_side cells.",
    )
    least_side: int = told(8, "Shorter side of the coarsest grid, when downscale is none.")
    longest_grid: int = told(16, "Largest side of the attention grid compared on.")
    parts: int = told(1, "Samples that an update averages over, one after the other.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.rank, self.prior, self.attention_weight, self.prior_weight) < 0:
            raise ValueError("rank, prior, attention_weight and prior_weight must be 0 or more")
        if min(self.longest_grid, self.least_side, self.prior_steps) < 1:
            raise ValueError("longest_grid, least_side and prior_steps must be at least 1")
        if not self.adapter_rate > 0:
            raise ValueError(f"adapter_rate must be above 0, got {self.adapter_rate}")

    @property
    def loop(self) -> LoopSettings:
        return replace(super().loop, parts=self.parts)


@dataclass(frozen=True)
class Denoised:
    """One pass over B latents, in which K tokens were watched.

    Attributes:
        noise: (B, C, h, w), what should have been predicted.
        predicted: (B, C, h, w) float32, what was.
        maps: (K, gh, gw) attention of each token watched.
    """

    noise: Tensor
    predicted: Tensor
    maps: Tensor

    def error(self) -> Tensor:
        """(B, C, h, w) squared errors."""
        return (self.noise - self.predicted).square()


@dataclass(frozen=True)
class Tuner:
    """What stays the same over the steps of a training.

    Attributes:
        backbone: the model.
        bank: the vectors under training.
        adapter: the changes of the model under training.
        sites: cross-attention layers to read.
        grid: (gh, gw) that maps are brought to.
        span: timesteps trained on, shares of all.
        generator: the random source.
    """

    backbone: Backbone
    bank: TokenBank
    adapter: AdapterBank
    sites: tuple[AttentionSite, ...]
    grid: tuple[int, int]
    span: tuple[float, float]
    generator: torch.Generator

    def denoise(self, latents: Tensor, texts: Sequence[str], spots: Sequence[Spot] = ()) -> Denoised:
        """Noise latents (B, C, h, w), let the model as it stands find the noise, and watch tokens (row, positions)."""
        timesteps = draw_timesteps(len(self.backbone.alphas_cumprod), self.span, len(latents), self.generator)
        noise = torch.randn(latents.shape, generator=self.generator).to(latents.device)
        timesteps = timesteps.to(latents.device)
        # Cloned, because a tensor made under inference mode cannot take part in a backward pass.
        noised = add_noise(latents, noise, timesteps, self.backbone.alphas_cumprod.clone())
        conditioning = self.backbone.encode_text(list(texts), self.bank.placeholders())
        sites = self.sites if spots else ()
        watched = recorded_tokens(self.backbone, sites, spots, self.grid)
        with watched as maps, self.adapter.in_force(self.backbone):
            predicted = self.backbone.predict_noise(noised, timesteps, conditioning)
        return Denoised(noise, predicted.float(), maps.mean() if spots else noise.new_zeros(0, *self.grid))

    def token(self, text: str, name: str) -> tuple[int, ...]:
        """Every position that a concept's token takes in a text.

        Raises ``ValueError`` for a text that does not fit the model or does not name the concept.
        """
        return find_word(self.backbone.tokenize(text, self.bank.placeholders()), placeholder(name))[0]

    def after_token(self, text: str, name: str, word: str) -> tuple[int, ...]:
        """Every position of the word that follows a concept's token in a text, all its sub-tokens.

        Found by the token before it, so that the same word beside two tokens is told apart.
        """
        read = self.backbone.tokenize(text, self.bank.placeholders())
        last = find_word(read, placeholder(name))[0][-1]
        return next(run for run in find_word(read, word) if run[0] == last + 1)

    def prior_loss(self, prior: Prior) -> Tensor:
        """The mean squared error on one prior picture with its own text."""
        latent, text = prior.pick(self.generator)
        return self.denoise(latent, [text]).error().mean()


def start_tuner(task: Task[S], settings: TuningSettings, latent: Tensor, generator: torch.Generator) -> Tuner:
    """Vectors and changes to begin with, for a picture's latent (1, C, h, w)."""
    backbone, size = task.backbone, (latent.shape[-2], latent.shape[-1])
    bank = start_bank(
        backbone,
        task.concepts.names,
        start=settings.start,
        words=task.words,
        count=settings.vectors,
        generator=generator,
        device=latent.device,
    )
    adapter = start_adapter(
        backbone,
        settings.rank,
        settings.layers,
        keep_start=settings.keep_start,
        generator=generator,
        device=latent.device,
    )
    sites = choose_sites(backbone, size, settings.downscale, settings.least_side)
    grid = common_grid(sites, size, settings.longest_grid)
    return Tuner(backbone, bank, adapter, sites, grid, settings.timesteps, generator)


def start_prior(task: Task[S], settings: TuningSettings, texts: Sequence[str], latent: Tensor) -> Prior | None:
    """The prior pictures that the settings ask for; None for none."""
    if not (settings.prior and settings.prior_weight):
        return None
    return draw_prior(
        task.backbone,
        texts,
        settings.prior,
        latent,
        steps=settings.prior_steps,
        guidance=settings.guidance,
        seed=task.seed,
    )


def tuning_phase(tuner: Tuner, phase: Phase, settings: TuningSettings) -> Phase:
    """A phase that trains tokens at its own rate and changes of the model at ``adapter_rate``."""
    tokens, changes = tuner.bank.parameters(), tuner.adapter.parameters()
    share = settings.adapter_rate / phase.loop.rate
    return replace(phase, parameters=[*tokens, *changes], shares=[1.0] * len(tokens) + [share] * len(changes))


def training_of(tuner: Tuner, phases: Sequence[Phase]) -> Training:
    """What :func:`.training.run` works off."""
    return Training(phases, tuner.bank.tokens, tuner.adapter.changes)
