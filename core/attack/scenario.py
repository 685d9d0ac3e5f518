"""The record of a scenario: how the concept is asked for, and by which pictures it is measured."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from .parts.task import AttackTask

Access = Literal["text", "erased model", "original model", "pictures", "weights"]
"""What an attacker needs."""


@dataclass(frozen=True, eq=False)
class Attempt:
    """Pictures by which a scenario is measured, in 0..1; row by row they belong together.

    Attributes:
        erased: (B, 3, H, W) of the erased model.
        ceiling: (B, 3, H, W) of the original model, asked for in the same way.
        floor: (F, 3, H, W) without the concept.
        asked: B words for people, by what the concept was asked for.
        sources: (B, 3, H, W) pictures that the attack began with; none for most.
        curve: (training step, share of drawings with the concept), for the re-learning curve.
    """

    erased: Tensor
    ceiling: Tensor
    floor: Tensor
    asked: tuple[str, ...]
    sources: Tensor | None = None
    curve: tuple[tuple[int, float], ...] = field(default=())


def _nothing(task: AttackTask) -> str:
    return ""


@dataclass(frozen=True, eq=False)
class Scenario:
    """A way in which an erased concept may come back.

    Attributes:
        name: its name in workflows, results and :data:`.registry.SCENARIOS`.
        title: its name for people.
        help: what it does, one sentence.
        access: what an attacker needs.
        attempt: makes the pictures of a task.
        passes: how many model passes that takes, counted by pictures; what other scenarios share is not counted.
        shared: names of what it shares with others, see :data:`.run.SHARED`.
        lacks: what a task lacks for it, in words; empty where it can run.
    """

    name: str
    title: str
    help: str
    access: Access
    attempt: Callable[[AttackTask], Attempt]
    passes: Callable[[AttackTask], int]
    shared: tuple[str, ...] = ()
    lacks: Callable[[AttackTask], str] = _nothing
