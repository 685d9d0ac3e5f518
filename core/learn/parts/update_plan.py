"""What each update of a training trains on, where concepts are split into several tokens at first (ConceptExpress)."""

from collections.abc import Sequence
from dataclasses import dataclass

from .prompts import Prompt, single_and_joint, singles
from .split_merge import split_names


@dataclass(frozen=True)
class Update:
    """What one update trains on.

    Attributes:
        split: whether concepts are still split.
        prompts: its sentences; members are tokens while split, concepts afterwards.
        first_of_step: whether it is the first update of its step.
    """

    split: bool
    prompts: tuple[Prompt, ...]
    first_of_step: bool


@dataclass(frozen=True)
class UpdatePlan:
    """How a training is divided into updates.

    Attributes:
        steps: T, of the whole training.
        split_steps: M, the steps before split tokens are merged.
        parts: S, tokens that each concept is split into at first.
        joint: whether one prompt names all concepts.
        one_by_one: whether each prompt has an update of its own; else all prompts of a step share one.
        template: of the prompts.
    """

    steps: int
    split_steps: int
    parts: int
    joint: bool
    one_by_one: bool
    template: str

    def updates(self, names: Sequence[str]) -> tuple[Update, ...]:
        """Every update of a training on N concepts, in order.

        With an update for each prompt these are ``M S N + (T - M) (N + 1)``: a joint prompt is trained even for one
        concept, as the release does.
        """
        split = singles(split_names(names, self.parts), self.template)
        merged = single_and_joint(names, self.template, self.joint, even_of_one=self.one_by_one)
        plan: list[Update] = []
        for step in range(self.steps):
            is_split = step < self.split_steps
            prompts = split if is_split else merged
            batches = [(prompt,) for prompt in prompts] if self.one_by_one else [prompts]
            plan += [Update(is_split, batch, index == 0) for index, batch in enumerate(batches)]
        return tuple(plan)
