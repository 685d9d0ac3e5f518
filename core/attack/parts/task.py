"""What is attacked, and what several scenarios share: drawings, pictures of the concept, learnt embeddings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any, TypeVar

import torch
from torch import Tensor

from ...backbone import Backbone, Placeholders
from ...erase.guards.guard import Guarding
from ...messages import listed
from ..detector import Detector
from .drawing import OnPasses, draw, latent_size
from .settings import AttackSettings

T = TypeVar("T")
OF_SHOWN = 1
"""Added to the seed for pictures that attacks begin with."""


@dataclass(frozen=True, eq=False)
class AttackTask:
    """An erasure under attack.

    Attributes:
        original: the model as it was.
        erased: the model from which the concept was erased.
        concept: the name of what was erased.
        others: names of other things, from which the detector distinguishes it; at least one.
        detector: says in which pictures the concept is.
        settings: see :class:`.settings.AttackSettings`.
        synonyms: other names of the concept.
        relatives: names of the kinds above and below it.
        pictures: (P, 3, H, W) in 0..1 of the concept; None lets the original model draw them.
        erase_more: further concepts to the erased model without these as well, erased one after another; None where
            that cannot be done.
        on_passes: see :data:`.drawing.OnPasses`.
        seed: of all that is random.
        guard: makes what guards one run of the erased model, or of one with further erasures; None for nothing. Its own
            passes are not counted.
        placeholders: learnt tokens that the concept and the other words may name, ``"<apple>"`` to vectors.
    """

    original: Backbone
    erased: Backbone
    concept: str
    others: tuple[str, ...]
    detector: Detector
    settings: AttackSettings
    synonyms: tuple[str, ...] = ()
    relatives: tuple[str, ...] = ()
    pictures: Tensor | None = None
    erase_more: Callable[[Sequence[str]], Backbone] | None = None
    on_passes: OnPasses = lambda passes: None
    seed: int = 0
    guard: Guarding | None = None
    placeholders: Placeholders | None = None
    _shared: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.concept.strip():
            raise ValueError("name the concept that was erased")
        if not self.others:
            raise ValueError("name at least one other thing, with which the concept is compared")
        if self.concept in self.others:
            raise ValueError(f"{self.concept} stands among the other things {listed(self.others)}; take it out there")

    @property
    def blank(self) -> Tensor:
        """Latents (B, C, h, w) of zeros, one for each picture of a scenario."""
        size = latent_size(self.original, self.settings)
        return torch.zeros(self.settings.draws, self.original.latent_channels, *size)

    @property
    def seeds(self) -> list[int]:
        """One for each picture of a scenario, the same for every scenario and model."""
        return seeds_of(self.seed, self.settings.draws)

    def sentences(self, words: Sequence[str], count: int | None = None) -> list[str]:
        """A sentence for each picture of a scenario, which name the words in turn."""
        said = [self.settings.template.replace("{}", word) for word in words]
        return list(islice(cycle(said), count or self.settings.draws))

    def has(self, name: str) -> bool:
        """Whether something is kept under a name, see :meth:`once`."""
        return name in self._shared

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What ``make`` gives, kept under a name for later scenarios, also of copies of the task with another
        :attr:`erased`: it may depend on the original model alone."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]

    def draw(
        self,
        backbone: Backbone,
        prompts: Sequence[str],
        placeholders: Placeholders | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Tensor:
        """A picture (B, 3, H, W) in 0..1 on the CPU of each prompt, from the noise of :attr:`seeds`.

        ``placeholders`` are further tokens that prompts may name; one of the same name takes the place of the task's.
        """
        guard, named = self.guard_of(backbone), {**(self.placeholders or {}), **(placeholders or {})}
        return draw(backbone, prompts, seeds or self.seeds, self.settings, self.on_passes, named, guard)

    def guard_of(self, backbone: Backbone) -> Guarding | None:
        """What guards a model's runs: all but the original's have the guard."""
        return None if backbone is self.original else self.guard

    def drawing(self, count: int | None = None) -> int:
        """Passes of :meth:`draw` for so many pictures."""
        return 2 * self.settings.steps * (self.settings.draws if count is None else count)

    def named(self) -> Tensor:
        """The ceiling by text: the original model's pictures of the concept's name."""
        return self.once("named", lambda: self.draw(self.original, self.sentences([self.concept])))

    def without(self) -> Tensor:
        """The floor by text: the original model's pictures of other things, from the same noise."""
        return self.once("without", lambda: self.draw(self.original, self.sentences(self.others)))

    def shown(self) -> Tensor:
        """Pictures (P, 3, H, W) of the concept: those given, or the original model's."""
        if self.pictures is not None:
            return self.pictures[: self.settings.shown]
        return self.once("shown", lambda: self._first_of("shown", [self.concept]))

    def shown_others(self) -> Tensor:
        """As many pictures of other things as of the concept, by the original model."""
        return self.once("shown others", lambda: self._first_of("shown others", self.others))

    def count_shown(self) -> int:
        """How many pictures of the concept there are."""
        return self.settings.shown if self.pictures is None else min(self.settings.shown, len(self.pictures))

    def _first_of(self, what: str, words: Sequence[str]) -> Tensor:
        count = self.count_shown()
        seeds = seeds_of(self.seed + OF_SHOWN, count)  # not those of the scenarios
        return self.draw(self.original, self.sentences(words, count), seeds=seeds)


def seeds_of(seed: int, count: int) -> list[int]:
    """A seed of noise for each of ``count`` pictures."""
    return [(seed * 1009 + number) % 2**63 for number in range(count)]
