"""The record of a way of measuring importance."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from .head import Question


@dataclass(frozen=True)
class Budget:
    """What a measurement may cost.

    Attributes:
        points: of the design from which Sobol indices are estimated.
        seed: of the design.
    """

    points: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if self.points < 2:
            raise ValueError(f"points must be at least 2, got {self.points}")


@dataclass(frozen=True, eq=False)
class Measure:
    """A way of measuring importance.

    Attributes:
        name: its name in workflows and :data:`.registry.MEASURES`.
        title: its name for people.
        help: what it says, one sentence.
        measure: a question, a picture's number and a budget to (K,) signed importances: positive where the concept
            raises the score.
        check: raises ``ValueError`` for a question that it cannot answer.
        passes: how often the model is asked for a picture with so many concepts.
    """

    name: str
    title: str
    help: str
    measure: Callable[[Question, int, Budget], Tensor]
    check: Callable[[Question], None] = lambda question: None
    passes: Callable[[int, Budget], int] = lambda concepts, budget: 0
