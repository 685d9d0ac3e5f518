"""``--estimate``: how long a bench would take on one core, from a few of its cases."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..host.files.saving import save_json
from .controls import Control
from .harness import Bench, Request, prepared

CASES = 2
LONG = 20.0
"""Processor seconds of a case beyond which one is measured and not two."""


@dataclass(frozen=True)
class Estimate:
    """What a run would take.

    Attributes:
        loading: processor seconds to load what all cases need.
        case: the same for a case, the mean of those measured.
        cases: how many cases the run has, those of its controls with it.
    """

    loading: float
    case: float
    cases: int

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return self.loading + self.case * self.cases

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        save_json(path, {"loading_s": self.loading, "case_s": self.case, "cases": self.cases, "whole_s": self.seconds})


def estimate(bench: Bench, request: Request, controls: Sequence[Control] = (), control_cases: int = 0) -> Estimate:
    """Measure up to two cases, drawn at random but always the same; one where it takes longer than :data:`LONG`. A case
    of a control is taken to cost as much."""
    started = time.process_time()
    measure = prepared(bench, request)
    loaded = time.process_time()
    indices = random.Random(0).sample(range(request.cases), min(CASES, request.cases))
    measured = 0
    for index in indices:
        measure(index)
        measured += 1
        if time.process_time() - loaded > LONG:
            break
    case = (time.process_time() - loaded) / measured
    return Estimate(loaded - started, case, request.cases + control_cases * len(controls))
