"""Break-A-Scene: a token per masked concept of one picture, then the model tuned with them.

Avrahami et al., "Break-A-Scene: Extracting Multiple Concepts from a Single Image", SIGGRAPH Asia 2023,
arXiv 2305.16311. Phase 1 learns tokens alone, phase 2 tokens and model. Each step names a random subset of the
concepts (union sampling).

What differs from the release: the second phase trains a low-rank change of the denoiser's attention, where the release
trains every weight of denoiser and text encoder, so its rate is higher; the prior loss, which has no gradient in
phase 1, is not computed there; masks come to the attention grid by averaging over areas, so that none is lost. The
authors found tuning of keys and values alone too little: the default changes all attention. A word of several tokens
starts all vectors of a token as their mean, where the release repeats the first.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...masks.edit import add_background
from ...settings import setting
from ..engine.method import Method
from ..engine.settings import TuningSettings
from ..engine.task import LossOf, Phase, Task, Training
from ..engine.trainee import Trainee, start_prior, start_trainee
from ..parts.examples import Example, fit, prepare_all
from ..parts.losses import attention_alignment, masked_denoising
from ..parts.prior import Prior
from ..parts.prompts import prompt_of
from ..parts.subsets import union_subset


@dataclass(frozen=True, kw_only=True)
class BreakASceneSettings(TuningSettings):
    """How to learn. Defaults are the paper's but for the change of the model; each field's help is in its metadata.

    Raises ``ValueError`` for values outside their range.
    """

    token_share: float = setting(0.5, "Share of the steps that train tokens alone, 0..1.")
    background: bool = setting(False, "Also learn what no mask covers, as a concept called background.")
    prior_prompt: str = setting("a photo at the beach", "Prompt of the prior pictures.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.token_share <= 1:
            raise ValueError(f"token_share must be in 0..1, got {self.token_share}")
        if self.rank == 0 and self.token_share < 1:
            raise ValueError("without a change of the model (rank 0) token_share must be 1")

    @property
    def token_steps(self) -> int:
        """Steps of the first phase, which trains tokens alone."""
        return round(self.steps * self.token_share)

    @property
    def cost(self) -> str:
        return self._cost(prior_updates=self.steps - self.token_steps)


def instance_loss(
    trainee: Trainee, example: Example, members: tuple[int, ...], settings: BreakASceneSettings
) -> Tensor:
    """``L_rec + lambda L_attn`` of a sentence that names these concepts.

    L_rec is the squared error inside the union of their masks, averaged over all elements (equation 1 of the paper);
    L_attn the sum over their tokens of the mean squared difference between attention, divided by its maximum, and mask
    (equation 2).
    """
    names = trainee.bank.names
    text = prompt_of(names, members, settings.template).text
    reads = settings.attention_weight > 0
    spots = [(0, trainee.token(text, names[index])) for index in members] if reads else []
    denoised = trainee.denoise(example.latent, [text], spots)
    loss = masked_denoising(denoised.target, denoised.predicted, example.union(members)[None]).mean()
    if not reads:
        return loss
    masks = fit(example.masks[list(members)], trainee.grid)  # (K, gh, gw)
    return loss + settings.attention_weight * attention_alignment(denoised.maps, masks, "mse").sum()


def _prepare(task: Task[BreakASceneSettings], generator: torch.Generator) -> Training:
    settings = task.settings
    pictures = prepare_all(task.backbone, task.sources, settings.flip > 0)
    latent = pictures.straight[0].latent
    trainee = start_trainee(task, generator, latent, reads=settings, tunes=settings)
    prior = start_prior(task, settings, [settings.prior_prompt], latent)

    def loss_of(prior: Prior | None) -> Tensor:
        index = task.draws.choose(len(pictures.straight), generator)
        mirrored = float(torch.rand(1, generator=generator)) < settings.flip
        members = union_subset(len(trainee.bank.names), generator)
        loss = instance_loss(trainee, pictures.example(index, mirrored), members, settings)
        return loss if prior is None else loss + settings.prior_weight * trainee.prior_loss(prior)

    return trainee.training(_phases(trainee, settings, lambda step: loss_of(None), lambda step: loss_of(prior)))


def _phases(trainee: Trainee, settings: BreakASceneSettings, alone: LossOf, together: LossOf) -> list[Phase]:
    """Tokens at ``rate``, then tokens and model at ``adapter_rate``; a phase of no steps is left out."""
    first = settings.token_steps
    loops = (
        replace(settings.loop, steps=max(first, 1)),
        replace(settings.loop, steps=max(settings.steps - first, 1), rate=settings.adapter_rate),
    )
    phases = [trainee.phase(alone, loops[0])] if first else []
    if first < settings.steps:
        phases.append(trainee.phase(together, loops[1], settings.adapter_rate))
    return phases


def _with_background(task: Task[BreakASceneSettings]) -> Task[BreakASceneSettings]:
    """The task with what no mask covers as one more concept, where the settings ask for it."""
    if not task.settings.background:
        return task
    more = [replace(source, concepts=add_background(source.concepts)) for source in task.more]
    return replace(task, concepts=add_background(task.concepts), more=more)


METHOD = Method(
    name="break_a_scene",
    title="Break-A-Scene",
    help="Learns the tokens first, then the tokens together with a change of the model. Each concept is learnt inside "
    "its mask, in all combinations with the others.",
    presets={
        "paper": BreakASceneSettings(steps=800, layers="all", prior=100),
        "small": BreakASceneSettings(
            steps=300,
            rate=1e-2,
            final_rate=0.1,
            timesteps=(0.2, 0.7),
            token_share=0.66,
            layers="all",
            adapter_rate=1e-3,
            prior=4,
            prior_steps=12,
            downscale=None,
        ),
    },
    prepare=_prepare,
    changes_model=True,
    arrange=_with_background,
)
"""Presets: ``paper`` for 64x64 latents, ``small`` for small latents and few steps."""
