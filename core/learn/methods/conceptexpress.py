"""ConceptExpress, stage 2: one token per concept by concept-wise masked denoising.

Hao et al., "ConceptExpress: Harnessing Diffusion Models for Single-image Unsupervised Concept Extraction",
ECCV 2024, arXiv 2407.07077. The loss is ``L_rec + w_att L_att + w_con L_con``: the squared error of the predicted
noise inside a concept's mask; the earth mover's distance between a token's attention and its concept's; and, while a
concept is split into several tokens, the contrastive loss that keeps those together.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ...messages import shown
from ...settings import setting
from ..engine.method import Method
from ..engine.settings import LearnSettings
from ..engine.task import Phase, Task, Training
from ..engine.trainee import Trainee, start_trainee
from ..parts.adapter import Layers
from ..parts.contrastive import closeness
from ..parts.examples import Example, prepare_all
from ..parts.losses import AlignmentLoss, attention_alignment, masked_denoising
from ..parts.prompts import Prompt
from ..parts.split_merge import SplitTokens, split_names
from ..parts.update_plan import Update, UpdatePlan
from .cones import ConesSettings, Search


@dataclass(frozen=True, kw_only=True)
class ConceptExpressSettings(LearnSettings):
    """How to learn. Each field's help is in its metadata.

    Defaults are the paper's in plain form: one token per concept from the start, all sentences of a step in one batch
    with one update, and a transport that is regularised so strongly that it converges. The preset ``faithful`` has
    the release's own way.

    Raises ``ValueError`` for values outside their range.
    """

    denoising_weight: float = setting(1.0, "Weight of the denoising loss inside the masks.")
    attention_weight: float = setting(1e-5, "Weight of the attention loss, per cell of distance.")
    alignment: AlignmentLoss = setting(
        "transport", "How attention is compared with its target: transport, divergence (unbiased) or mse."
    )
    regularisation: float = setting(
        0.02, "Entropic regularisation of the transport, as a share of the grid's diagonal."
    )
    iterations: int = setting(100, "Sinkhorn iterations.")
    downscale: int | None = setting(
        4,
        "Cross-attention layers to read: latent cells per grid cell along a side; none means every grid with at least "
        "least_side cells.",
    )
    least_side: int = setting(8, "Shorter side of the coarsest grid, when downscale is none.")
    longest_grid: int = setting(16, "Largest side of the attention grid compared on.")
    joint: bool = setting(True, "Also train one prompt with all concepts.")
    split: int = setting(
        1, "Number of tokens that each concept is split into at first; their mean replaces them later."
    )
    split_share: float = setting(0.2, "Share of the steps with split tokens, 0..1.")
    contrastive_weight: float = setting(
        1e-3, "Weight of the contrastive loss, which keeps the split tokens of a concept together."
    )
    temperature: float = setting(0.07, "Temperature of the contrastive loss.")
    merged_rate: float = setting(1.0, "Factor on the learning rate once tokens are merged.")
    updates: Literal["step", "prompt"] = setting(
        "step", "One update a step, of all prompts in a batch; or one after each prompt, as in the release."
    )
    even: bool = setting(False, "Spread a batch's noise levels evenly over the span instead of drawing each freely.")
    margin_weight: float = setting(0.0, "Weight of the margin loss, which keeps the tokens of one picture apart.")
    margin: float = setting(0.2, "Largest cosine of two tokens that the margin loss allows.")
    search: int = setting(
        0,
        "Steps of ConES' search for where each token starts, which come first and begin where start says; 0 for none.",
        least=0,
    )
    search_rate: float = setting(5e-3, "Learning rate of that search, in the scale of encoded text.", above=0)
    rank: int = setting(0, "Rank of a change of the model that is learnt beside the tokens; 0 learns tokens alone.")
    layers: Layers = setting("cross_value", "Weights that the change concerns, see the methods that change the model.")
    keep_start: bool = setting(True, "Keep the keys and values of the start-of-text token as they are.")
    adapter_rate: float = setting(5e-4, "Learning rate of the change of the model.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.denoising_weight, self.attention_weight) < 0 or self.denoising_weight + self.attention_weight == 0:
            raise ValueError("loss weights must be 0 or more, and one of them above 0")
        if min(self.iterations, self.longest_grid, self.least_side, self.split) < 1:
            raise ValueError("iterations, longest_grid, least_side and split must be at least 1")
        if not (self.regularisation > 0 and self.temperature > 0 and self.merged_rate > 0):
            raise ValueError("regularisation, temperature and merged_rate must be above 0")
        if min(self.contrastive_weight, self.margin_weight, self.rank) < 0 or not 0 <= self.split_share <= 1:
            raise ValueError("contrastive_weight, margin_weight and rank must be 0 or more, split_share 0..1")
        if not (self.adapter_rate > 0 and -1 <= self.margin <= 1):
            raise ValueError("adapter_rate must be above 0, margin a cosine in -1..1")
        if self.updates not in ("step", "prompt"):
            raise ValueError(f"updates must be step or prompt, got {shown(self.updates)}")
        if self.search and self.split > 1:
            raise ValueError(f"search finds a start for one token of each concept; give split 1, not {self.split}")

    @property
    def cost(self) -> str:
        before, after = self.split_steps, self.steps - self.split_steps
        counts = [f"{before * self.split} N" if before else "", f"{after} {'(N + 1)' if self.joint else 'N'}"]
        counts = [f"{self.search} N" if self.search else "", *counts]
        words = ", and a search for start words, one forward pass or more for each that the model knows"
        return f"{' + '.join(part for part in counts if part)} passes{words if self.start == 'nearest' else ''}"

    @property
    def split_steps(self) -> int:
        """Steps before the merge."""
        return round(self.split_share * self.steps) if self.split > 1 else 0

    @property
    def plan(self) -> UpdatePlan:
        """Which updates a training has."""
        one_by_one = self.updates == "prompt"
        return UpdatePlan(self.steps, self.split_steps, self.split, self.joint, one_by_one, self.template)

    @property
    def cones(self) -> ConesSettings:
        """The search: ten steps a round, and half as many more of fitting."""
        shared = ("template", "start", "vectors", "timesteps", "flip", "clip_norm")
        own = {name: getattr(self, name) for name in shared}
        rounds, fit = max(1, self.search // 10), round(1.5 * self.search)
        return ConesSettings(steps=self.search, rate=self.search_rate, fit_steps=fit, rounds=rounds, **own)


def step_loss(
    trainee: Trainee, example: Example, prompts: Sequence[Prompt], settings: ConceptExpressSettings
) -> Tensor:
    """The scalar loss of one batch: ``w_rec L_rec + w_att sum_i W(g_i, a_i)`` of each prompt, averaged over prompts."""
    spots = trainee.spots(prompts) if settings.attention_weight > 0 else []
    latents = example.latent.expand(len(prompts), -1, -1, -1)  # (B, C, h, w), the same picture for every prompt
    denoised = trainee.denoise(latents, [prompt.text for prompt in prompts], spots, even=settings.even)
    masks = torch.stack([example.union(prompt.members) for prompt in prompts])  # (B, h, w)
    loss = settings.denoising_weight * masked_denoising(denoised.target, denoised.predicted, masks).mean()
    if not spots:
        return loss
    targets = example.targets[[member for prompt in prompts for member in prompt.members]]  # (K, gh, gw)
    per_token = attention_alignment(
        denoised.maps, targets, settings.alignment, settings.regularisation, settings.iterations
    )
    return loss + settings.attention_weight * per_token.sum().float() / len(prompts)


class _Schedule:
    """The updates of one training, which picture the current step is about, and whether the tokens are merged."""

    def __init__(self, task: Task[ConceptExpressSettings], generator: torch.Generator) -> None:
        self.settings, self.generator, self.draws = task.settings, generator, task.draws
        pictures = prepare_all(task.backbone, task.sources, self.settings.flip > 0)
        names = split_names(task.concepts.names, self.settings.split)
        tunes = self.settings if self.settings.rank else None
        self.trainee = start_trainee(
            task, generator, pictures.straight[0].latent, names, reads=self.settings, tunes=tunes
        )
        self.pictures = pictures.each(lambda example: example.fit_targets(self.trainee.grid))
        self.tokens = SplitTokens(task.concepts.names, self.trainee.bank)
        self.merged = replace(self.trainee, bank=self.tokens.merged())
        self.updates = self.settings.plan.updates(task.concepts.names)
        for prompts in dict.fromkeys(update.prompts for update in self.updates if not update.split):
            self.merged.check_fits([prompt.text for prompt in prompts])
        self.choice = (0, False)
        self.is_merged = self.settings.split == 1

    def loss(self, number: int) -> Tensor:
        """The loss of an update; the first one of merged tokens merges them."""
        update = self.updates[number]
        if not update.split and not self.is_merged:
            self.tokens.merge()
            self.is_merged = True
        if update.first_of_step:
            self.choice = self.pictures.draw(self.settings.flip, self.generator, self.draws)
        loss = step_loss(*self.current(update), update.prompts, self.settings)
        if update.split and self.settings.contrastive_weight > 0:
            loss = loss + self.settings.contrastive_weight * self.tokens.contrast(self.settings.temperature)
        if self.settings.margin_weight > 0:
            loss = loss + self.settings.margin_weight * self._closeness()
        return loss

    def _closeness(self) -> Tensor:
        """The margin loss of the tokens as they are now, the mean over text encoders."""
        tokens = list(self.vectors().values())
        rows = [torch.stack([vectors[encoder].flatten() for vectors in tokens]) for encoder in tokens[0]]  # (N, n*d)
        return torch.stack([closeness(each, self.settings.margin) for each in rows]).mean()

    def current(self, update: Update) -> tuple[Trainee, Example]:
        """What the update trains, and the picture of its step."""
        example = self.pictures.example(*self.choice)
        return (self.trainee, example.repeated(self.tokens.parts)) if update.split else (self.merged, example)

    def hidden(self) -> dict[str, Tensor]:
        """Which picture the step is about."""
        return {"choice": torch.tensor([int(part) for part in self.choice])}

    def restore(self, updates: int, hidden: Mapping[str, Tensor]) -> None:
        """Put back the state after this many updates."""
        index, mirrored = hidden["choice"].tolist()
        if not 0 <= index < len(self.pictures.straight):
            raise ValueError(f"its step is about picture {index + 1} of {len(self.pictures.straight)}")
        self.is_merged = self.is_merged or not self.updates[updates - 1].split
        self.choice = (index, bool(mirrored))

    def vectors(self) -> Mapping[str, Mapping[str, Tensor]]:
        """The tokens as they are now: the means of split ones."""
        return self.tokens.merged().tokens() if self.is_merged else self.tokens.means()


def _prepare(task: Task[ConceptExpressSettings], generator: torch.Generator) -> Training:
    schedule, settings = _Schedule(task, generator), task.settings
    before = sum(update.split for update in schedule.updates)
    loop = replace(settings.loop, steps=len(schedule.updates), earliest=before, later=(before, settings.merged_rate))
    phase = schedule.trainee.phase(schedule.loss, loop, settings.adapter_rate if settings.rank else None)
    if settings.search:
        search = Task(
            "cones",
            task.backbone,
            task.picture,
            task.concepts,
            settings.cones,
            seed=task.seed,
            more=task.more,
            draws=task.draws,
        )
        found = Search(search, generator, schedule.trainee)
        return _after_search(schedule, found, phase)
    return schedule.trainee.training([phase], tokens=schedule.vectors, hidden=schedule.hidden, restore=schedule.restore)


def _after_search(schedule: _Schedule, found: Search, phase: Phase) -> Training:
    """The training whose tokens start from those that ConES finds."""
    first = found.phases()
    searched, prefix = sum(each.loop.steps for each in first), "search."

    def hidden() -> dict[str, Tensor]:
        return {**schedule.hidden(), **{prefix + name: tensor for name, tensor in found.hidden().items()}}

    def restore(updates: int, held: Mapping[str, Tensor]) -> None:
        if updates > searched:
            schedule.restore(updates - searched, held)
        found.restore({name.removeprefix(prefix): held[name] for name in held if name.startswith(prefix)})

    return schedule.trainee.training([*first, phase], tokens=schedule.vectors, hidden=hidden, restore=restore)


_FAITHFUL = ConceptExpressSettings(
    split=5,
    updates="prompt",
    regularisation=1e-3 / math.hypot(15, 15),  # 1e-3 on distances in cells of a 16x16 grid
    iterations=200,
)

_SMALL = ConceptExpressSettings(
    steps=140,
    rate=5e-3,
    final_rate=0.1,
    timesteps=(0.2, 0.7),
    start="nearest",
    even=True,
    attention_weight=1e-3,
    alignment="divergence",
    downscale=None,
)

METHOD = Method(
    name="conceptexpress",
    title="ConceptExpress",
    help="Learns a token for each concept by denoising inside its mask, and keeps its attention in its own place.",
    presets={
        "paper": ConceptExpressSettings(),
        "faithful": _FAITHFUL,
        "small": _SMALL,
        "small_values": replace(_SMALL, rank=8),
        "small_search": replace(_SMALL, start="rare", search=40, search_rate=5e-2, steps=120),
        "faithful_small": replace(_FAITHFUL, downscale=2),
    },
    prepare=_prepare,
    note="The preset faithful follows the release update by update. It leaves out the second copy of each sample, "
    "which the release computes and does not use, takes the mean of the VAE's posterior instead of a new draw for each "
    "update, and computes in full precision. The preset small_values also learns a change of the "
    "model: of the values that its cross-attention reads from texts. The preset small_search first searches a start "
    "for each token as ConES does, and learns tokens alone.",
)
"""Presets: ``paper``, the plain form on 64x64 latents; ``faithful``, the release's updates one by one on the same;
``small`` for small latents and few passes; ``small_values``, the same with a change of the model's values beside the
tokens; ``small_search``, tokens that start from what ConES finds in place of a word; ``faithful_small``, the release on
latents of 16x16, whose attention is read on the grid of 8x8 cells, because a quarter of the latent would be four."""
