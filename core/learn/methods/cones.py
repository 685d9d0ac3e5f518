"""ConES: the text's encoding itself is searched, and then mapped back to a token.

"ConES: Concept Embedding Search for Parameter Efficient Tuning Large Vision Language Models", 2023, arXiv 2305.18993.
The conditioning c of "a photo of <v>" is optimised, ``min_c |noise - predicted(z_t, t, c)|^2`` inside the concept's
mask, which takes no pass through the text encoder. What is found has no place in an embedding file, and does not mix
with the words of a new sentence; so a token is fitted to it, ``min_v |encode(v) - c|^2``, which takes no pass through
the denoiser. No token says all that a search can find: in several rounds, each search goes on from what the token of
the last one says. The paper's details are not public: settings, pull, clamp, rounds and the way back are ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ...backbone import Backbone, Conditioning
from ...types import Concepts, ConceptTokens, Source
from ..engine.checkpoints import Keeper
from ..engine.loop import LoopSettings, optimise
from ..engine.settings import LearnSettings, OnStep, told
from ..engine.starts import begin_lesson
from ..engine.training import Phase, Task, Training, run
from ..parts.examples import check
from ..parts.losses import masked_denoising
from ..parts.prompts import placeholder_positions, singles

HELP = (
    "ConES: searches the encoded text itself for each concept, without the text encoder, and fits a token to what was "
    "found, in turns. Quick; details the paper does not give are ours. The loss shows now the search, now the fit."
)


@dataclass(frozen=True, kw_only=True)
class ConesSettings(LearnSettings):
    """How to search. Each field's help is in its metadata; ``steps`` and ``rate`` are the search's.

    Raises ``ValueError`` for values outside their range.
    """

    steps: int = told(300, "Steps of the search, in all rounds together.")
    rate: float = told(5e-3, "Learning rate of the search, in the scale of encoded text.")
    weight_decay: float = told(0.0, "Pull of what is searched towards zero (AdamW); pull does better.")
    rows: Literal["token", "tail"] = told(
        "tail", "What is searched: the token's own rows, or all from there on, padding too, which carries much."
    )
    pull: float = told(1e-3, "Weight of staying near the encoding that the search starts from.")
    fit_steps: int = told(200, "Steps of fitting the token, in all rounds together.")
    fit_rate: float = told(5e-3, "Learning rate of fitting, in the scale of the token table.")
    rounds: int = told(
        1,
        "How often search and fit take turns, once a step at most; a search goes on from what the token says by then.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rows not in ("token", "tail"):
            raise ValueError(f"rows must be token or tail, got {self.rows!r}")
        if not self.pull >= 0:
            raise ValueError(f"pull must be 0 or more, got {self.pull}")
        if self.rounds < 1:
            raise ValueError(f"rounds must be at least 1, got {self.rounds}")
        _ = self.fit  # checks fit_steps and fit_rate

    @property
    def fit(self) -> LoopSettings:
        """How the token is fitted: its rate falls to a tenth, so that it settles."""
        return replace(self.loop, steps=self.fit_steps, rate=self.fit_rate, final_rate=0.1, patience=0)


PRESETS: Mapping[str, ConesSettings] = MappingProxyType(
    {"paper": ConesSettings(), "lab": ConesSettings(steps=100, rate=5e-2, fit_steps=150, rounds=10)}
)
"""``paper``: for latents of 64x64, untested. ``lab``: for the lab model."""


def learn(
    backbone: Backbone,
    picture: Tensor,
    concepts: Concepts,
    settings: ConesSettings | None = None,
    *,
    words: Mapping[str, str] | None = None,
    classes: Mapping[str, str] | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
    more: Sequence[Source] = (),
    keeper: Keeper | None = None,
) -> ConceptTokens:
    """One token per concept, fitted to the encoding that was searched for it. The model is not changed.

    The metadata's ``fit_cosine`` says how well a token could say what was found: the mean cosine between its rows and
    those searched, 1 is exactly. Tokens reported during the search are those it starts from.

    Args and errors as for :func:`.conceptexpress.learn`; ``class_weight`` concerns the fit.
    """
    settings = settings or PRESETS["paper"]
    task = Task("cones", backbone, picture, concepts, settings, words, classes, seed, on_step, more, keeper)
    return run(task, _prepare)


def search(
    backbone: Backbone,
    picture: Tensor,
    concepts: Concepts,
    settings: ConesSettings | None = None,
    *,
    words: Mapping[str, str] | None = None,
    seed: int = 0,
) -> dict[str, Conditioning]:
    """The encodings alone: concept name to the conditioning (1, L, D) of the template's sentence with it.

    Each draws its concept as it is; it belongs to this model and cannot be put into another sentence. Args and errors
    as for :func:`learn`.
    """
    task = Task("cones", backbone, picture, concepts, settings or PRESETS["paper"], words, None, seed)
    check(picture, concepts)
    with torch.inference_mode(False), torch.enable_grad():
        found = Search(task, torch.Generator().manual_seed(seed))
        optimise([found.rows], found.denoising, task.settings.loop)
        whole = found.conditioning()
        return {
            name: Conditioning(whole.context[[i]].detach(), {key: rows[[i]] for key, rows in whole.extras.items()})
            for i, name in enumerate(concepts.names)
        }


class Search:
    """Encoded sentences, one per concept, some of whose rows are searched.

    Attributes:
        lesson: the picture, and the token that each sentence starts with.
        start: what the search of this round starts from.
        rows: (N, L, D), the leaf that is optimised; only free rows count.
    """

    def __init__(self, task: Task[ConesSettings], generator: torch.Generator) -> None:
        self.settings, self.generator = task.settings, generator
        self.lesson, self.notes = begin_lesson(task, generator, downscale=None)
        self.prompts = singles(task.concepts.names, self.settings.template)
        with torch.no_grad():
            self.start = self._encode()
        self.free = self._free_rows()
        self.longest = self.start.context.norm(dim=-1).max()
        self.rows = self.start.context.clone().requires_grad_()

    def conditioning(self) -> Conditioning:
        """The sentences as searched so far; no row is longer than the longest that the search started with."""
        shorten = (self.longest / self.rows.norm(dim=-1, keepdim=True).clamp_min(1e-6)).clamp_max(1)
        return replace(self.start, context=torch.where(self.free, self.rows * shorten, self.start.context))

    def restart(self) -> None:
        """Begin a round with what the tokens say by now."""
        with torch.no_grad():
            self.start = self._encode()
            self.rows.copy_(self.start.context)

    def hidden(self) -> dict[str, Tensor]:
        """What this round started from, for :meth:`resume`."""
        return {"context": self.start.context, **self.start.extras}

    def resume(self, hidden: Mapping[str, Tensor]) -> None:
        """Take that back; the rows have their values already."""
        extras = {key: hidden[key].to(value) for key, value in self.start.extras.items()}
        self.start = Conditioning(hidden["context"].to(self.start.context), extras)

    def denoising(self, step: int) -> Tensor:
        """The loss of a search step: ``L_rec + pull |c - c_0|^2``, means over elements.

        The first step of a round starts it from what the tokens say by then.
        """
        if step == 0:
            self.restart()
        told = self.conditioning()
        settings = self.settings
        attempt = self.lesson.attempt(
            self.prompts,
            self.generator,
            flip=settings.flip,
            span=settings.timesteps,
            with_maps=False,
            conditioning=told,
        )
        loss = masked_denoising(attempt.noise, attempt.predicted, attempt.masks).mean()
        return loss + settings.pull * self._distance(told.context, self.start.context)

    def fitting(self, step: int) -> Tensor:
        """The loss of a fitting step: the mean square by which the token's rows miss those searched."""
        return self._distance(self._encode().context, self.conditioning().context.detach())

    def cosine(self) -> float:
        """Between the rows of the token as it is now and those searched."""
        with torch.no_grad():
            ours, theirs = self._encode().context, self.conditioning().context
        return float(F.cosine_similarity(ours, theirs, dim=-1)[self.free[..., 0]].mean())

    def _encode(self) -> Conditioning:
        bank = self.lesson.bank
        return self.lesson.backbone.encode_text([prompt.text for prompt in self.prompts], bank.placeholders())

    def _distance(self, one: Tensor, other: Tensor) -> Tensor:
        return (one - other).square().mean(-1)[self.free[..., 0]].mean()

    def _free_rows(self) -> Tensor:
        """(N, L, 1) bool."""
        bank = self.lesson.bank
        free = torch.zeros(*self.start.context.shape[:2], 1, dtype=torch.bool, device=self.start.context.device)
        for row, prompt in enumerate(self.prompts):
            (positions,) = placeholder_positions(self.lesson.backbone, prompt, bank.names, bank.placeholders())
            last = None if self.settings.rows == "tail" else positions[-1] + 1
            free[row, positions[0] : last] = True
        return free


def _prepare(task: Task[ConesSettings], generator: torch.Generator) -> Training:
    found = Search(task, generator)
    bank, settings = found.lesson.bank, task.settings
    phases = []
    rounds = min(settings.rounds, settings.steps, settings.fit_steps)
    for number in range(rounds):
        steps, fit_steps = (_share(whole, rounds, number) for whole in (settings.steps, settings.fit_steps))
        phases.append(Phase([found.rows], found.denoising, replace(settings.loop, steps=steps)))
        phases.append(Phase(bank.parameters(), found.fitting, replace(settings.fit, steps=fit_steps)))
    return Training(
        phases,
        bank.tokens,
        notes=lambda: {**found.notes, "fit_cosine": f"{found.cosine():.4f}"},
        hidden=found.hidden,
        restore=lambda updates, hidden: found.resume(hidden),
    )


def _share(steps: int, rounds: int, number: int) -> int:
    """Steps of one round; the first rounds make one more where they cannot be dealt out evenly."""
    return steps // rounds + (number < steps % rounds)
