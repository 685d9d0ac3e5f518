"""ConceptExpress, stage 2 in plain form: one token per concept by concept-wise masked denoising.

Hao et al., "ConceptExpress: Harnessing Diffusion Models for Single-image Unsupervised Concept Extraction",
ECCV 2024, arXiv 2407.07077. Plain means: one token per concept from the start (no split and merge), and all prompts
of a step in one batch with one update, where the release updates after every prompt.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from ..backbone import Backbone
from ..types import Concepts, ConceptTokens
from .examples import check, prepare
from .lesson import Lesson, begin
from .loop import LoopSettings, optimise
from .losses import AlignmentLoss, attention_alignment, masked_denoising
from .prompts import Prompt, single_and_joint
from .token_maps import choose_sites
from .tokens import Start, start_bank
from .transport import SMALLEST_REGULARISATION

OnStep = Callable[[int, int, float, ConceptTokens], None]
"""Called after every step with: finished steps, all steps, loss, tokens so far. What it raises ends the training."""


@dataclass(frozen=True)
class ConceptExpressSettings:
    """How to learn. Defaults are the paper's; each field's help is in its metadata.

    Two values differ from the release: the transport is regularised more strongly, because 200 iterations do not
    converge at the release's 5e-5 of the diagonal, and one step trains all prompts together.

    Raises ``ValueError`` for values outside their range.
    """

    steps: int = field(default=500, metadata={"help": "Training steps."})
    rate: float = field(default=5e-4, metadata={"help": "Learning rate at the start."})
    final_rate: float = field(default=1.0, metadata={"help": "Share of the learning rate left at the last step, 0..1."})
    weight_decay: float = field(default=1e-2, metadata={"help": "Pull of the vectors towards zero (AdamW)."})
    clip_norm: float = field(default=1.0, metadata={"help": "Largest norm of the gradient."})
    denoising_weight: float = field(default=1.0, metadata={"help": "Weight of drawing the concept right."})
    attention_weight: float = field(default=1e-5, metadata={"help": "Weight of looking at the right place, per cell."})
    alignment: AlignmentLoss = field(
        default="transport",
        metadata={"help": "How attention is compared with its target: transport, divergence (unbiased) or mse."},
    )
    regularisation: float = field(default=0.02, metadata={"help": "Blur of the transport, share of the diagonal."})
    iterations: int = field(default=100, metadata={"help": "Sinkhorn iterations."})
    downscale: int | None = field(
        default=4,
        metadata={
            "help": "Cross-attention layers compared: latent cells per grid cell along a side; none means every grid "
            "with at least least_side cells."
        },
    )
    least_side: int = field(default=8, metadata={"help": "Shorter side of the coarsest grid, when downscale is none."})
    longest_grid: int = field(default=16, metadata={"help": "Largest side of the attention grid compared on."})
    joint: bool = field(default=True, metadata={"help": "Also train one prompt with all concepts."})
    flip: float = field(default=0.5, metadata={"help": "Share of steps on the mirrored picture, 0..1."})
    timesteps: tuple[float, float] = field(
        default=(0.0, 1.0), metadata={"help": "Span of noise levels trained on: 0 is clean, 1 is pure noise."}
    )
    template: str = field(default="a photo of {}", metadata={"help": "Training sentence; {} is where concepts go."})
    start: Start = field(default="rare", metadata={"help": "Vectors to start from when no word is given."})
    vectors: int = field(default=1, metadata={"help": "Vectors per token."})

    def __post_init__(self) -> None:
        low, high = self.timesteps
        if not 0 <= low < high <= 1:
            raise ValueError(f"timesteps must be a span within 0..1, got {self.timesteps}")
        if not (0 <= self.flip <= 1 and 0 <= self.final_rate <= 1):
            raise ValueError(f"flip and final_rate must be in 0..1, got {self.flip} and {self.final_rate}")
        if min(self.denoising_weight, self.attention_weight) < 0 or self.denoising_weight + self.attention_weight == 0:
            raise ValueError("loss weights must be 0 or more, and one of them above 0")
        if min(self.iterations, self.longest_grid, self.least_side, self.vectors) < 1:
            raise ValueError("iterations, longest_grid, least_side and vectors must be at least 1")
        if self.regularisation < SMALLEST_REGULARISATION:
            raise ValueError(f"regularisation must be at least {SMALLEST_REGULARISATION}, got {self.regularisation}")
        _ = self.loop  # checks steps, rate and clip_norm

    @property
    def loop(self) -> LoopSettings:
        """The part that concerns the optimiser."""
        return LoopSettings(self.steps, self.rate, self.final_rate, self.weight_decay, self.clip_norm)


PRESETS: Mapping[str, ConceptExpressSettings] = MappingProxyType(
    {
        "paper": ConceptExpressSettings(),
        "lab": ConceptExpressSettings(
            steps=200, rate=5e-3, final_rate=0.1, attention_weight=1e-3, alignment="divergence", downscale=None
        ),
    }
)
"""``paper``: 64x64 latents. ``lab``: small latents and few steps."""


def learn(
    backbone: Backbone,
    picture: Tensor,
    concepts: Concepts,
    settings: ConceptExpressSettings | None = None,
    *,
    words: Mapping[str, str] | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> ConceptTokens:
    """Learn one token per concept of one picture. The model is not changed; same seed, same tokens.

    Args:
        backbone: the model.
        picture: (1, 3, H, W) in 0..1, the one the concepts were found in.
        concepts: N concepts; masks of another size than the latent are averaged over areas.
        settings: see :class:`ConceptExpressSettings`; None is the paper's.
        words: concept name to a word its vectors start from.
        seed: of starting vectors, timesteps, noise and mirroring.
        on_step: see :data:`OnStep`.

    Raises ``ValueError`` for input that cannot be learnt from (see :func:`.examples.prepare`), prompts that do not
    fit and layers the model does not have; ``FloatingPointError`` when training diverges.
    """
    settings = settings or PRESETS["paper"]
    check(picture, concepts)
    with torch.inference_mode(False), torch.enable_grad():
        generator = torch.Generator().manual_seed(seed)
        lesson = _begin(backbone, picture, concepts, settings, words, generator)
        prompts = single_and_joint(concepts.names, settings.template, settings.joint)
        metadata = _metadata(settings, words, seed, concepts)
        losses = optimise(
            lesson.bank.parameters(),
            lambda step: step_loss(lesson, prompts, settings, generator),
            settings.loop,
            _reporter(lesson, settings.steps, metadata, on_step),
        )
        return ConceptTokens(lesson.bank.snapshot(), backbone.family, losses, metadata | _summary(losses))


def step_loss(
    lesson: Lesson, prompts: Sequence[Prompt], settings: ConceptExpressSettings, generator: torch.Generator
) -> Tensor:
    """The scalar loss of one step: ``w_rec L_rec + w_att sum_i W(g_i, a_i)`` of each prompt, averaged over prompts."""
    aligned = settings.attention_weight > 0
    attempt = lesson.attempt(prompts, generator, flip=settings.flip, span=settings.timesteps, with_maps=aligned)
    loss = settings.denoising_weight * masked_denoising(attempt.noise, attempt.predicted, attempt.masks).mean()
    if attempt.maps is None:
        return loss
    per_token = attention_alignment(
        attempt.maps, attempt.targets, settings.alignment, settings.regularisation, settings.iterations
    )
    return loss + settings.attention_weight * per_token.sum().float() / len(prompts)


def _begin(
    backbone: Backbone,
    picture: Tensor,
    concepts: Concepts,
    settings: ConceptExpressSettings,
    words: Mapping[str, str] | None,
    generator: torch.Generator,
) -> Lesson:
    mirrored = (False, True) if settings.flip > 0 else (False,)
    examples = [prepare(backbone, picture, concepts, turn) for turn in mirrored]
    latent = examples[0].latent
    bank = start_bank(
        backbone,
        concepts.names,
        start=settings.start,
        words=words,
        count=settings.vectors,
        generator=generator,
        device=latent.device,
    )
    sites = choose_sites(backbone, (latent.shape[-2], latent.shape[-1]), settings.downscale, settings.least_side)
    return begin(backbone, bank, examples, sites, settings.longest_grid)


def _reporter(
    lesson: Lesson, steps: int, metadata: Mapping[str, str], on_step: OnStep | None
) -> Callable[[int, float], None] | None:
    if on_step is None:
        return None

    def report(done: int, loss: float) -> None:
        tokens = ConceptTokens(lesson.bank.snapshot(), lesson.backbone.family, metadata=metadata)
        on_step(done, steps, loss, tokens)

    return report


def _metadata(
    settings: ConceptExpressSettings, words: Mapping[str, str] | None, seed: int, concepts: Concepts
) -> dict[str, str]:
    return {
        "method": "conceptexpress",
        "settings": json.dumps(asdict(settings)),
        "template": settings.template,
        "words": json.dumps(dict(words or {})),
        "seed": str(seed),
        "picture_size": json.dumps(list(concepts.picture_size)),
    }


def _summary(losses: Tensor) -> dict[str, str]:
    """First and last loss, each a mean over a tenth of the steps."""
    tenth = max(len(losses) // 10, 1)
    return {"loss_first": f"{losses[:tenth].mean():.6g}", "loss_last": f"{losses[-tenth:].mean():.6g}"}
