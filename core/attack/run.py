"""Running scenarios: what they cost, and what they found."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ..messages import listed, shown
from .figures import Figure, crossing, share
from .parts.task import AttackTask
from .registry import SCENARIOS
from .scenario import Attempt, Scenario
from .scenarios.inversion import drawing, inverting

OnPasses = Callable[[int, int], None]
"""Called with how many model passes of how many are done. May raise, to stop."""

SHARED: Mapping[str, Callable[[AttackTask], int]] = {
    "named": lambda task: task.drawing(),
    "without": lambda task: task.drawing(),
    "shown": lambda task: task.drawing(task.count_shown()) if task.pictures is None else 0,
    "shown others": lambda task: task.drawing(task.count_shown()),
    "token of original": lambda task: task.settings.learn_steps,
    "drawn of token": lambda task: task.drawing(),
    "inverted": lambda task: inverting(task),
    "drawn of inverted": lambda task: drawing(task),
    "floor of inverted": lambda task: inverting(task) + drawing(task),
}
"""What scenarios share, by name, to the passes that it takes once."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one scenario found.

    Attributes:
        scenario: which.
        figure: the shares.
        attempt: the pictures.
        found: (B,) bool, for each picture of the erased model.
        seconds: how long it took.
        steps_to_half: of the re-learning curve; None for other scenarios, and where half is never reached.
    """

    scenario: Scenario
    figure: Figure
    attempt: Attempt
    found: Tensor
    seconds: float
    steps_to_half: float | None = None


@dataclass(frozen=True, eq=False)
class Attack:
    """What all scenarios found.

    Attributes:
        concept: what was erased.
        others: what it was compared with.
        outcomes: one for each scenario that ran, in their order.
        left_out: scenario name to what was lacking.
        passes: model passes made, counted by pictures.
    """

    concept: str
    others: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    left_out: Mapping[str, str]
    passes: int


def chosen(names: Sequence[str]) -> list[Scenario]:
    """Scenarios by name. Raises ``ValueError`` for none, a repeated name, and one that does not exist."""
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise ValueError(f"there is no scenario {shown(unknown[0])}; there are {listed(SCENARIOS)}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"name each scenario once, at least one of {listed(SCENARIOS)}")
    return [scenario for name, scenario in SCENARIOS.items() if name in names]


def cost(task: AttackTask, names: Sequence[str]) -> int:
    """Model passes of an attack, counted by pictures: with guidance every sampling step takes two for each. What the
    original model has drawn for the task before is not counted."""
    able = [scenario for scenario in chosen(names) if not scenario.lacks(task)]
    shared = {name for scenario in able for name in scenario.shared}
    return sum(scenario.passes(task) for scenario in able) + sum(
        SHARED[name](task) for name in shared if not task.has(name)
    )


def attack(task: AttackTask, names: Sequence[str], on_passes: OnPasses | None = None) -> Attack:
    """Run scenarios. Both models stay as they are.

    Args:
        task: what is attacked.
        names: of scenarios; those that the task lacks something for are left out, and the result says why.
        on_passes: see :data:`OnPasses`.

    Raises as :func:`chosen` does, and ``ValueError`` where no scenario can run.
    """
    scenarios, total, done = chosen(names), cost(task, names), 0

    def count(passes: int) -> None:
        nonlocal done
        done += passes
        task.on_passes(passes)
        if on_passes is not None:
            on_passes(done, total)

    left_out = {one.name: one.lacks(task) for one in scenarios if one.lacks(task)}
    able = [one for one in scenarios if one.name not in left_out]
    if not able:
        raise ValueError(f"no scenario can run: {'; '.join(f'{name}: {said}' for name, said in left_out.items())}")
    counted = replace(task, on_passes=count)
    outcomes = tuple(measure(counted, scenario) for scenario in able)
    return Attack(task.concept, task.others, outcomes, left_out, done)


def measure(task: AttackTask, scenario: Scenario) -> Outcome:
    """Run one scenario and look at its pictures."""
    before = time.perf_counter()
    attempt = scenario.attempt(task)
    found = task.detector.found(attempt.erased)
    figure = Figure(
        share(found),
        share(task.detector.found(attempt.floor)),
        share(task.detector.found(attempt.ceiling)),
        len(attempt.erased),
    )
    half = crossing(attempt.curve) if attempt.curve else None
    return Outcome(scenario, figure, attempt, found, time.perf_counter() - before, half)
