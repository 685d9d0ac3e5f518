"""ConceptExpress, stage 2: one token per concept by concept-wise masked denoising.

Hao et al., "ConceptExpress: Harnessing Diffusion Models for Single-image Unsupervised Concept Extraction",
ECCV 2024, arXiv 2407.07077. The loss is ``L_rec + w_att L_att + w_con L_con``: the squared error of the predicted
noise inside a concept's mask; the earth mover's distance between a token's attention and its concept's; and, while a
concept is split into several tokens, the contrastive loss that keeps those together.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from ...backbone import Backbone
from ...types import Concepts, ConceptTokens, Source
from ..engine.checkpoints import Keeper
from ..engine.lesson import Lesson
from ..engine.settings import LearnSettings, OnStep, told
from ..engine.starts import begin_lesson
from ..engine.training import Phase, Task, Training, run
from ..parts.losses import AlignmentLoss, attention_alignment, masked_denoising
from ..parts.prompts import Prompt, single_and_joint, singles
from ..parts.split_merge import SplitTokens, split_lesson, split_names

HELP = (
    "ConceptExpress: a token per concept, by drawing it right inside its mask and looking at its own place. "
    "'faithful' follows the release update by update; not copied are the twin of each sample that it computes and does "
    "not use, a new draw of the VAE's posterior for each update (its mean is used) and half precision."
)


@dataclass(frozen=True, kw_only=True)
class ConceptExpressSettings(LearnSettings):
    """How to learn. Each field's help is in its metadata.

    Defaults are the paper's in plain form: one token per concept from the start, all sentences of a step in one batch
    with one update, and a transport that is regularised so strongly that it converges. ``PRESETS["faithful"]`` has
    the release's own way.

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
    split: int = told(1, "Tokens each concept is split into at first; they are replaced by their mean.")
    split_share: float = told(0.2, "Share of the steps before that, 0..1.")
    contrastive_weight: float = told(1e-3, "Weight of keeping the split tokens of a concept together.")
    temperature: float = told(0.07, "Temperature of that.")
    merged_rate: float = told(1.0, "Factor on the learning rate once tokens are merged.")
    updates: Literal["step", "prompt"] = told(
        "step", "One update a step, of all prompts in a batch; or one after each prompt, as in the release."
    )
    even: bool = told(False, "Spread a batch's noise levels evenly over the span instead of drawing each freely.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.denoising_weight, self.attention_weight) < 0 or self.denoising_weight + self.attention_weight == 0:
            raise ValueError("loss weights must be 0 or more, and one of them above 0")
        if min(self.iterations, self.longest_grid, self.least_side, self.split) < 1:
            raise ValueError("iterations, longest_grid, least_side and split must be at least 1")
        if not (self.regularisation > 0 and self.temperature > 0 and self.merged_rate > 0):
            raise ValueError("regularisation, temperature and merged_rate must be above 0")
        if not (self.contrastive_weight >= 0 and 0 <= self.split_share <= 1):
            raise ValueError("contrastive_weight must be 0 or more, split_share 0..1")
        if self.updates not in ("step", "prompt"):
            raise ValueError(f"updates must be step or prompt, got {self.updates!r}")

    @property
    def split_steps(self) -> int:
        """Steps before the merge."""
        return round(self.split_share * self.steps) if self.split > 1 else 0


_FAITHFUL = ConceptExpressSettings(
    split=5,
    updates="prompt",
    regularisation=1e-3 / math.hypot(15, 15),  # 1e-3 on distances in cells of a 16x16 grid
    iterations=200,
)
PRESETS: Mapping[str, ConceptExpressSettings] = MappingProxyType(
    {
        "paper": ConceptExpressSettings(),
        "faithful": _FAITHFUL,
        "lab": ConceptExpressSettings(
            steps=140,
            rate=7e-3,
            final_rate=0.1,
            even=True,
            attention_weight=1e-3,
            alignment="divergence",
            downscale=None,
        ),
        "faithful_lab": replace(_FAITHFUL, downscale=2),
    }
)
"""``paper``: the plain form, 64x64 latents. ``faithful``: the release's updates, one by one, on the same.
``lab``: small latents and few passes. ``faithful_lab``: the release on latents of 16x16, whose attention is read on the
grid of 8x8 cells, because a quarter of the latent would be four."""


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
    more: Sequence[Source] = (),
    keeper: Keeper | None = None,
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
        more: further pictures of the same concepts, by name; every update is about one of all, each as likely.
        keeper: keeps where the training stands; a training that was cancelled goes on from there, see :mod:`.state`.

    Raises ``ValueError`` for input that cannot be learnt from (see :func:`.examples.prepare`), prompts that do not
    fit and layers the model does not have; ``FloatingPointError`` when training diverges.
    """
    settings = settings or PRESETS["paper"]
    task = Task("conceptexpress", backbone, picture, concepts, settings, words, classes, seed, on_step, more, keeper)
    return run(task, _prepare)


@dataclass(frozen=True)
class Turn:
    """What one update is about.

    Attributes:
        split: whether concepts are still split.
        prompts: its sentences; members are tokens while split, concepts afterwards.
        opens: whether it is the first of its step.
    """

    split: bool
    prompts: tuple[Prompt, ...]
    opens: bool


def turns(names: Sequence[str], settings: ConceptExpressSettings) -> tuple[Turn, ...]:
    """Every update of a training on N concepts, in order.

    With S tokens a concept, M of T steps before the merge and an update for each prompt these are
    ``M S N + (T - M) (N + 1)``: a joint prompt is trained even for one concept, as the release does.
    """
    one_by_one = settings.updates == "prompt"
    parts = singles(split_names(names, settings.split), settings.template)
    whole = single_and_joint(names, settings.template, settings.joint, even_of_one=one_by_one)
    plan: list[Turn] = []
    for step in range(settings.steps):
        split = step < settings.split_steps
        prompts = parts if split else whole
        batches = [(prompt,) for prompt in prompts] if one_by_one else [prompts]
        plan += [Turn(split, batch, index == 0) for index, batch in enumerate(batches)]
    return tuple(plan)


def step_loss(
    lesson: Lesson, prompts: Sequence[Prompt], settings: ConceptExpressSettings, generator: torch.Generator
) -> Tensor:
    """The scalar loss of one batch: ``w_rec L_rec + w_att sum_i W(g_i, a_i)`` of each prompt, averaged over prompts."""
    attempt = lesson.attempt(
        prompts,
        generator,
        flip=settings.flip,
        span=settings.timesteps,
        even=settings.even,
        with_maps=settings.attention_weight > 0,
    )
    loss = settings.denoising_weight * masked_denoising(attempt.noise, attempt.predicted, attempt.masks).mean()
    if attempt.maps is None:
        return loss
    per_token = attention_alignment(
        attempt.maps, attempt.targets, settings.alignment, settings.regularisation, settings.iterations
    )
    return loss + settings.attention_weight * per_token.sum().float() / len(prompts)


class _Course:
    """One training: which lesson is on, and whether the tokens are merged."""

    def __init__(self, task: Task[ConceptExpressSettings], generator: torch.Generator) -> None:
        self.settings, self.generator = task.settings, generator
        names = split_names(task.concepts.names, self.settings.split)
        lesson, self.notes = begin_lesson(
            task,
            generator,
            names,
            downscale=self.settings.downscale,
            least_side=self.settings.least_side,
            longest_grid=self.settings.longest_grid,
        )
        self.tokens = SplitTokens(task.concepts.names, lesson.bank)
        self.turns = turns(task.concepts.names, self.settings)
        self.parts = split_lesson(lesson, self.tokens)
        self.whole = replace(lesson, bank=self.tokens.merged())
        self.choice = (0, False)
        self.today = self.parts
        self.is_merged = self.settings.split == 1

    def loss(self, update: int) -> Tensor:
        """The loss of an update; the first one of merged tokens merges them."""
        turn = self.turns[update]
        if not turn.split and not self.is_merged:
            self.tokens.merge()
            self.is_merged = True
        if turn.opens:
            self.choice = self.parts.draw(self.settings.flip, self.generator)
            self.today = self._lesson(turn)
        loss = step_loss(self.today, turn.prompts, self.settings, self.generator)
        if turn.split and self.settings.contrastive_weight > 0:
            loss = loss + self.settings.contrastive_weight * self.tokens.contrast(self.settings.temperature)
        return loss

    def hidden(self) -> dict[str, Tensor]:
        """Which picture the step is about."""
        return {"choice": torch.tensor([int(part) for part in self.choice])}

    def restore(self, updates: int, hidden: Mapping[str, Tensor]) -> None:
        """Be where so many updates have led."""
        last, (index, turned) = self.turns[updates - 1], hidden["choice"].tolist()
        self.is_merged = self.is_merged or not last.split
        self.choice = (index, bool(turned))
        self.today = self._lesson(last)

    def _lesson(self, turn: Turn) -> Lesson:
        return (self.parts if turn.split else self.whole).alone(*self.choice)

    def vectors(self) -> Mapping[str, Mapping[str, Tensor]]:
        """The tokens as they are now: the means of split ones."""
        return self.tokens.merged().tokens() if self.is_merged else self.tokens.means()


def _prepare(task: Task[ConceptExpressSettings], generator: torch.Generator) -> Training:
    course = _Course(task, generator)
    before = sum(turn.split for turn in course.turns)
    loop = replace(
        task.settings.loop, steps=len(course.turns), earliest=before, later=(before, task.settings.merged_rate)
    )
    phase = Phase(course.tokens.bank.parameters(), course.loss, loop)
    return Training([phase], course.vectors, notes=lambda: course.notes, hidden=course.hidden, restore=course.restore)
