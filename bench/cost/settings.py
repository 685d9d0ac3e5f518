"""How ``bench cost`` measures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CostSettings:
    """How to measure.

    Attributes:
        repetitions: pairs of runs.
        steps: of a sampling run.
        concepts: how many are learnt at once; two and more add a row for all together.
        preserved: how many texts an erasure preserves.
    """

    repetitions: int = 5
    steps: int = 3
    concepts: int = 2
    preserved: int = 1000
