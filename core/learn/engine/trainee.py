"""A model that learns tokens, and perhaps changes of its weights: what every method trains.

Whole weight matrices, which some papers train, stand as low-rank changes here (:mod:`..parts.adapter`). Texts, pictures
and losses are each method's own.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from ...attention.sites import choose_sites
from ...attention.words import find_word, first_places, spelling
from ...backbone import AttentionSite, Backbone, Conditioning
from ...messages import shown
from ..parts.adapter import AdapterBank, Layers, start_adapter
from ..parts.examples import prepare
from ..parts.nearest import nearest_words
from ..parts.prior import Prior, draw_prior
from ..parts.prompts import Prompt, encode_in_groups, placeholder, placeholder_positions
from ..parts.token_maps import Spot, common_grid, recorded_tokens
from ..parts.tokens import TokenBank, start_bank
from .loop import LoopSettings, draw_timesteps
from .settings import TuningSettings
from .task import LossOf, Phase, S, Task, Training


class ReadsMaps(Protocol):
    """Settings of a method that reads attention while it trains."""

    @property
    def downscale(self) -> int | None: ...
    @property
    def least_side(self) -> int: ...
    @property
    def longest_grid(self) -> int: ...


class TunesModel(Protocol):
    """Settings of a method that changes the model while it trains."""

    @property
    def rank(self) -> int: ...
    @property
    def layers(self) -> Layers: ...
    @property
    def keep_start(self) -> bool: ...


@dataclass(frozen=True, eq=False)
class Denoised:
    """One pass over B latents, in which the attention of K tokens was recorded.

    Attributes:
        target: (B, C, h, w), what should have been predicted: the noise, or a flow's velocity.
        predicted: (B, C, h, w) float32, what was.
        maps: (K, gh, gw) attention of each token recorded; K is 0 when none was.
    """

    target: Tensor
    predicted: Tensor
    maps: Tensor

    def error(self) -> Tensor:
        """(B, C, h, w) squared errors."""
        return (self.target - self.predicted).square()


@dataclass(frozen=True, eq=False)
class Trainee:
    """What stays the same over the steps of a training.

    Attributes:
        backbone: the model.
        bank: the vectors under training.
        generator: the random source of all that the training draws.
        span: timesteps trained on, shares of all.
        adapter: the changes of the model under training; none for methods that learn tokens alone.
        sites: cross-attention layers whose maps are read.
        grid: (gh, gw) that maps are brought to.
        start_words: concept name to the word its vectors started from.
    """

    backbone: Backbone
    bank: TokenBank
    generator: torch.Generator
    span: tuple[float, float] = (0.0, 1.0)
    adapter: AdapterBank = field(default_factory=lambda: AdapterBank({}, {}))
    sites: tuple[AttentionSite, ...] = ()
    grid: tuple[int, int] = (1, 1)
    start_words: Mapping[str, str] = field(default_factory=dict)

    def denoise(
        self,
        latents: Tensor,
        texts: Sequence[str] = (),
        spots: Sequence[Spot] = (),
        *,
        even: bool = False,
        conditioning: Conditioning | None = None,
    ) -> Denoised:
        """Add noise to latents and let the model, as it is by now, predict what :meth:`Schedule.target` asks for.

        Gradients reach all it learns.

        Args:
            latents: (B, C, h, w).
            texts: B sentences.
            spots: K tokens whose attention is recorded: the row and the positions of each.
            even: how timesteps are drawn, see :func:`.loop.draw_timesteps`.
            conditioning: what the model reads in place of the texts, B rows.
        """
        schedule = self.backbone.schedule
        timesteps = draw_timesteps(schedule.steps, self.span, len(latents), self.generator, even)  # (B,)
        noise = torch.randn(latents.shape, generator=self.generator).to(latents.device)
        timesteps = timesteps.to(latents.device)
        noisy = schedule.add_noise(latents, noise, timesteps)  # (B, C, h, w)
        if conditioning is None:
            groups = encode_in_groups(self.backbone, texts, self.bank.placeholders())
        else:
            groups = [(tuple(range(len(latents))), conditioning)]
        predicted, maps = self._predict(noisy, timesteps, groups, spots)
        return Denoised(schedule.target(latents, noise), predicted, maps)

    def _predict(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        groups: Sequence[tuple[tuple[int, ...], Conditioning]],
        spots: Sequence[Spot],
    ) -> tuple[Tensor, Tensor]:
        """What the model predicts (B, C, h, w) float32 and the attention of K tokens (K, gh, gw), group by group."""
        rows: dict[int, Tensor] = {}
        maps: dict[int, Tensor] = {}
        for members, conditioning in groups:
            inside = [(at, spot) for at, spot in enumerate(spots) if spot[0] in members]
            own = [(members.index(row), positions) for _, (row, positions) in inside]
            recorded = recorded_tokens(self.backbone, self.sites, own, self.grid) if own else nullcontext(None)
            index = list(members)
            with recorded as seen, self.adapter.in_force(self.backbone):
                predicted = self.backbone.predict_target(noisy[index], timesteps[index], conditioning)
            rows |= dict(zip(members, predicted.float(), strict=True))
            if seen is not None:
                maps |= {at: one for (at, _), one in zip(inside, seen.mean(), strict=True)}
        stacked = torch.stack([maps[at] for at in range(len(spots))]) if spots else noisy.new_zeros(0, *self.grid)
        return torch.stack([rows[row] for row in range(len(noisy))]), stacked

    def check_fits(self, texts: Sequence[str]) -> None:
        """Raise ``TextTooLongError`` unless these sentences can stand side by side in one pass.

        For sentences that come late in a training, so that it does not end at them.
        """
        with torch.no_grad():
            encode_in_groups(self.backbone, texts, self.bank.placeholders())

    def spots(self, prompts: Sequence[Prompt]) -> list[Spot]:
        """Where the tokens of B prompts stand: for each prompt, each concept that it names."""
        placeholders = self.bank.placeholders()
        return [
            (row, positions)
            for row, prompt in enumerate(prompts)
            for positions in placeholder_positions(self.backbone, prompt, self.bank.names, placeholders)
        ]

    def token(self, text: str, name: str) -> tuple[int, ...]:
        """Every position that a concept's token takes in a text, in the rows of every text encoder.

        Raises ``ValueError`` for a text that does not fit the model or does not name the concept.
        """
        read, mark = self.backbone.tokenize(text, self.bank.placeholders()), placeholder(name)
        own = [token for token in read.tokens if token.placeholder == mark]  # names may differ in case alone
        if not own:
            return first_places(read, mark)
        count = len(next(iter(self.bank.placeholders()[mark].values())))
        by_encoder = [[token.position for token in own if token.position in span] for span in read.spans]
        return tuple(position for positions in by_encoder for position in positions[:count])

    def after_token(self, text: str, name: str, word: str) -> tuple[int, ...]:
        """Every position of the word that follows a concept's token in a text, all its sub-tokens, in the rows of every
        text encoder.

        The token before it finds it, so that the same word beside two tokens is two words.
        """
        read = self.backbone.tokenize(text, self.bank.placeholders())
        token, runs = self.token(text, name), find_word(read, spelling(self.backbone.tokenize(word)))
        found: list[int] = []
        for span in read.spans:
            last = max(position for position in token if position in span)
            behind = [run for run in runs if last < run[0] < span.stop]
            if not behind:
                raise ValueError(f"{shown(word)} does not stand behind {placeholder(name)} in {shown(text)}")
            found += behind[0]  # a chunk of the text may end between the two
        return tuple(found)

    def prior_loss(self, prior: Prior) -> Tensor:
        """The mean squared error on one prior picture with its own text."""
        latent, text = prior.pick(self.generator)
        return self.denoise(latent, [text]).error().mean()

    def phase(self, loss_of: LossOf, loop: LoopSettings, adapter_rate: float | None = None) -> Phase:
        """A phase that trains the tokens and, given a learning rate for them, the changes of the model too."""
        tokens = self.bank.parameters()
        if adapter_rate is None:
            return Phase(tokens, loss_of, loop)
        changes, share = self.adapter.parameters(), adapter_rate / loop.rate
        return Phase([*tokens, *changes], loss_of, loop, [1.0] * len(tokens) + [share] * len(changes))

    def training(self, phases: Sequence[Phase], **more: Any) -> Training:
        """What :func:`.training.run` works off; ``more`` are further fields of :class:`.task.Training`."""
        notes = more.pop("notes", dict)
        return Training(
            phases,
            more.pop("tokens", self.bank.tokens),
            self.adapter.changes,
            notes=lambda: {"start_words": json.dumps(dict(self.start_words)), **notes()},
            **more,
        )


def start_trainee(
    task: Task[S],
    generator: torch.Generator,
    latent: Tensor,
    names: Sequence[str] | None = None,
    *,
    reads: ReadsMaps | None = None,
    tunes: TunesModel | None = None,
) -> Trainee:
    """A trainee with fresh vectors and, where asked for, fresh changes of the model.

    Args:
        task: its settings say where vectors start and how many a token has.
        generator: the random source.
        latent: (1, C, h, w) of the first picture, whose size decides the grid of maps.
        names: what the tokens are called; token i starts from the word of concept i modulo N. None: the concepts.
        reads: which attention layers are read; None reads none.
        tunes: which weights change; None changes none.

    Raises ``ValueError`` for input that cannot be learnt from and layers the model does not have.
    """
    size = (latent.shape[-2], latent.shape[-1])
    sites = () if reads is None else choose_sites(task.backbone, size, reads.downscale, reads.least_side)
    grid = (1, 1) if reads is None else common_grid(sites, size, reads.longest_grid)
    words = start_words(task, generator)
    trainee = Trainee(
        task.backbone,
        _start_bank(task, generator, words, names or task.concepts.names, latent.device),
        generator,
        task.settings.timesteps,
        sites=sites,
        grid=grid,
        start_words=words,
    )
    if tunes is None:
        return trainee
    adapter = start_adapter(
        task.backbone,
        tunes.rank,
        tunes.layers,
        keep_start=tunes.keep_start,
        generator=generator,
        device=latent.device,
    )
    return replace(trainee, adapter=adapter)


def start_words(task: Task[S], generator: torch.Generator) -> dict[str, str]:
    """Concept name to the word it starts from: the words given and, with ``start="nearest"``, the best for the rest."""
    given = {name: word for name, word in (task.words or {}).items() if word.strip()}
    if task.settings.start != "nearest" or given.keys() >= set(task.concepts.names):
        return given
    example = prepare(task.backbone, task.picture, task.concepts)
    found = nearest_words(task.backbone, example, task.settings.template, generator)
    return dict(zip(task.concepts.names, found, strict=True)) | given


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


def _start_bank(
    task: Task[S], generator: torch.Generator, words: Mapping[str, str], names: Sequence[str], device: torch.device
) -> TokenBank:
    settings, concepts = task.settings, task.concepts.names
    owners = [concepts[index % len(concepts)] for index in range(len(names))]  # the concept of each token
    return start_bank(
        task.backbone,
        names,
        start="average" if settings.start == "nearest" else settings.start,
        words={name: words[owner] for name, owner in zip(names, owners, strict=True) if owner in words},
        count=settings.vectors,
        generator=generator,
        device=device,
    )
