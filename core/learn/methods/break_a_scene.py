"""Break-A-Scene: a token per masked concept of one picture, then the model tuned with them.

Avrahami et al., "Break-A-Scene: Extracting Multiple Concepts from a Single Image", SIGGRAPH Asia 2023,
arXiv 2305.16311. Phase 1 learns tokens alone, phase 2 tokens and model. Each step names a random subset of the
concepts (union sampling).

What differs from the release: the second phase trains a low-rank change of the denoiser's attention, where the release
trains every weight of denoiser and text encoder, so its rate is higher; the prior loss, which has no gradient in
phase 1, is not computed there; masks come to the attention grid by averaging over areas, so that none is lost. The
authors found tuning of keys and values alone too little: the default changes all attention.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor

from ...backbone import Backbone
from ...masks.edit import add_background
from ...types import Concepts, ConceptTokens, Source
from ..engine.checkpoints import Keeper
from ..engine.settings import OnStep, told
from ..engine.training import LossOf, Phase, Task, Training, run
from ..engine.tuning import Tuner, TuningSettings, start_prior, start_tuner, training_of, tuning_phase
from ..parts.examples import Example, choose, fit, prepare_all
from ..parts.losses import attention_alignment, masked_denoising
from ..parts.prior import Prior
from ..parts.prompts import prompt_of
from ..parts.subsets import union_subset

HELP = (
    "Tokens first, then a change of the model with them; each concept inside its mask, in all combinations "
    "(Break-A-Scene). The change belongs to the tokens: use the MODEL output, or save it as a LoRA."
)


@dataclass(frozen=True, kw_only=True)
class BreakASceneSettings(TuningSettings):
    """How to learn. Defaults are the paper's but for the change of the model; each field's help is in its metadata.

    Raises ``ValueError`` for values outside their range.
    """

    token_share: float = told(0.5, "Share of the steps that train tokens alone, 0..1.")
    background: bool = told(False, "Also learn what no mask covers, as a concept called background.")
    prior_prompt: str = told("a photo at the beach", "What the prior pictures show.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.token_share <= 1:
            raise ValueError(f"token_share must be in 0..1, got {self.token_share}")
        if self.rank == 0 and self.token_share < 1:
            raise ValueError("without a change of the model (rank 0) token_share must be 1")


PRESETS: Mapping[str, BreakASceneSettings] = MappingProxyType(
    {
        "paper": BreakASceneSettings(steps=800, layers="all", prior=100),
        "lab": BreakASceneSettings(
            steps=300,
            rate=1e-2,
            final_rate=0.1,
            token_share=0.66,
            layers="all",
            adapter_rate=5e-4,
            prior=4,
            prior_steps=12,
            downscale=None,
        ),
    }
)
"""``paper``: 64x64 latents. ``lab``: small latents and few steps."""


def learn(
    backbone: Backbone,
    picture: Tensor,
    concepts: Concepts,
    settings: BreakASceneSettings | None = None,
    *,
    words: Mapping[str, str] | None = None,
    classes: Mapping[str, str] | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
    more: Sequence[Source] = (),
    keeper: Keeper | None = None,
) -> ConceptTokens:
    """Learn one token per concept of one picture, and the change of the model they are used with.

    Arguments and errors are those of :func:`.conceptexpress.learn`; ``ValueError`` also for a background that the
    concepts leave no room for. The model itself is not changed; same seed, same result.
    """
    settings = settings or PRESETS["paper"]
    if settings.background:
        concepts = add_background(concepts)
        more = [replace(source, concepts=add_background(source.concepts)) for source in more]
    task = Task("break_a_scene", backbone, picture, concepts, settings, words, classes, seed, on_step, more, keeper)
    return run(task, _prepare)


def instance_loss(tuner: Tuner, example: Example, members: tuple[int, ...], settings: BreakASceneSettings) -> Tensor:
    """``L_rec + lambda L_attn`` of a sentence that names these concepts.

    L_rec is the squared error inside the union of their masks, averaged over all elements (equation 1 of the paper);
    L_attn the sum over their tokens of the mean squared difference between attention, divided by its maximum, and mask
    (equation 2).
    """
    names = tuner.bank.names
    text = prompt_of(names, members, settings.template).text
    watched = settings.attention_weight > 0
    spots = [(0, tuner.token(text, names[index])) for index in members] if watched else []
    denoised = tuner.denoise(example.latent, [text], spots)
    loss = masked_denoising(denoised.noise, denoised.predicted, example.union(members)[None]).mean()
    if not watched:
        return loss
    masks = fit(example.masks[list(members)], tuner.grid)
    return loss + settings.attention_weight * attention_alignment(denoised.maps, masks, "mse").sum()


def _prepare(task: Task[BreakASceneSettings], generator: torch.Generator) -> Training:
    settings = task.settings
    examples, mirrored = prepare_all(task.backbone, task.sources, settings.flip > 0)
    tuner = start_tuner(task, settings, examples[0].latent, generator)
    prior = start_prior(task, settings, [settings.prior_prompt], examples[0].latent)

    def loss_of(prior: Prior | None) -> Tensor:
        index = choose(len(examples), generator)
        turned = float(torch.rand(1, generator=generator)) < settings.flip
        members = union_subset(len(tuner.bank.names), generator)
        loss = instance_loss(tuner, (mirrored if turned else examples)[index], members, settings)
        return loss if prior is None else loss + settings.prior_weight * tuner.prior_loss(prior)

    return training_of(tuner, _phases(tuner, settings, lambda step: loss_of(None), lambda step: loss_of(prior)))


def _phases(tuner: Tuner, settings: BreakASceneSettings, alone: LossOf, together: LossOf) -> list[Phase]:
    """Tokens at ``rate``, then tokens and model at ``adapter_rate``; a phase of no steps is left out."""
    first = round(settings.steps * settings.token_share)
    loops = (
        replace(settings.loop, steps=max(first, 1)),
        replace(settings.loop, steps=max(settings.steps - first, 1), rate=settings.adapter_rate),
    )
    phases = [Phase(tuner.bank.parameters(), alone, loops[0])] if first else []
    if first < settings.steps:
        phases.append(tuning_phase(tuner, Phase((), together, loops[1]), settings))
    return phases
