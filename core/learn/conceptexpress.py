"""ConceptExpress, stage 2 in plain form: one token per concept by concept-wise masked denoising.

Hao et al., "ConceptExpress: Harnessing Diffusion Models for Single-image Unsupervised Concept Extraction",
ECCV 2024, arXiv 2407.07077. Plain means: one token per concept from the start (no split and merge), and all prompts
of a step in one batch with one update, where the release updates after every prompt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from ..backbone import Backbone
from ..types import Concepts, ConceptTokens
from .examples import prepare
from .lesson import Lesson, begin
from .losses import AlignmentLoss, attention_alignment, masked_denoising
from .prompts import Prompt, single_and_joint
from .settings import LearnSettings, OnStep, told
from .token_maps import choose_sites
from .tokens import start_bank
from .training import Phase, Task, Training, run
from .transport import SMALLEST_REGULARISATION

HELP = "A token per concept, by drawing it right inside its mask and looking at its own place (ConceptExpress)."


@dataclass(frozen=True, kw_only=True)
class ConceptExpressSettings(LearnSettings):
    """How to learn. Defaults are the paper's; each field's help is in its metadata.

    Two values differ from the release: the transport is regularised more strongly, because 200 iterations do not
    converge at the release's 5e-5 of the diagonal, and one step trains all prompts together.

    Raises ``ValueError`` for values outside their range.
    """

    denoising_weight: float = told(1.0, "Weight of drawing the concept right.")
    attention_weight: float = told(1e-5, "Weight of looking at the right place, per cell.")
    alignment: AlignmentLoss = told(
        "transport", "How attention is compared with its target: transport, divergence (unbiased) or mse."
    )
    regularisation: float = told(0.02, "Blur of the transport, share of the diagonal.")
    iterations: int = told(100, "Sinkhorn iterations.")
    downscale: int | None = told(
        4,
        "Cross-attention layers compared: latent cells per grid cell along a side; none means every grid with at least "
        "least_side cells.",
    )
    least_side: int = told(8, "Shorter side of the coarsest grid, when downscale is none.")
    longest_grid: int = told(16, "Largest side of the attention grid compared on.")
    joint: bool = told(True, "Also train one prompt with all concepts.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.denoising_weight, self.attention_weight) < 0 or self.denoising_weight + self.attention_weight == 0:
            raise ValueError("loss weights must be 0 or more, and one of them above 0")
        if min(self.iterations, self.longest_grid, self.least_side) < 1:
            raise ValueError("iterations, longest_grid and least_side must be at least 1")
        if self.regularisation < SMALLEST_REGULARISATION:
            raise ValueError(f"regularisation must be at least {SMALLEST_REGULARISATION}, got {self.regularisation}")


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
    classes: Mapping[str, str] | None = None,
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
        classes: concept name to the word for its kind, for ``class_weight``.
        seed: of starting vectors, timesteps, noise and mirroring.
        on_step: see :data:`.settings.OnStep`.

    Raises ``ValueError`` for input that cannot be learnt from (see :func:`.examples.prepare`), prompts that do not
    fit and layers the model does not have; ``FloatingPointError`` when training diverges.
    """
    settings = settings or PRESETS["paper"]
    return run(Task("conceptexpress", backbone, picture, concepts, settings, words, classes, seed, on_step), _prepare)


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


def _prepare(task: Task[ConceptExpressSettings], generator: torch.Generator) -> Training:
    settings = task.settings
    lesson = _begin(task, generator)
    prompts = single_and_joint(task.concepts.names, settings.template, settings.joint)
    phase = Phase(lesson.bank.parameters(), lambda step: step_loss(lesson, prompts, settings, generator), settings.loop)
    return Training([phase], lesson.bank.tokens)


def _begin(task: Task[ConceptExpressSettings], generator: torch.Generator) -> Lesson:
    settings = task.settings
    mirrored = (False, True) if settings.flip > 0 else (False,)
    examples = [prepare(task.backbone, task.picture, task.concepts, turn) for turn in mirrored]
    latent = examples[0].latent
    bank = start_bank(
        task.backbone,
        task.concepts.names,
        start=settings.start,
        words=task.words,
        count=settings.vectors,
        generator=generator,
        device=latent.device,
    )
    sites = choose_sites(task.backbone, (latent.shape[-2], latent.shape[-1]), settings.downscale, settings.least_side)
    return begin(task.backbone, bank, examples, sites, settings.longest_grid)
