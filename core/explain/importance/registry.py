"""Every way of measuring importance, by name, in the order that people are shown."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...registry import collect
from ...steps import OnStep
from .head import Question
from .method import Budget, Measure

MEASURES: Mapping[str, Measure] = collect(__package__, "METHOD", "sobol", "closed_form", "gradient", "removal")
"""Name to record. To add one, write its file and add its name here."""


def best_measure(question: Question) -> Measure:
    """The closed form where the score is linear, else Sobol indices."""
    return MEASURES["sobol" if question.head.weights is None else "closed_form"]


def importances(
    question: Question, measure: Measure, budget: Budget | None = None, on_step: OnStep | None = None
) -> Tensor:
    """(P, K) signed importances of each concept for each picture.

    Raises ``ValueError`` for a question that the measure cannot answer.
    """
    measure.check(question)
    found, count = [], len(question.codes.values)
    for picture in range(count):
        found.append(measure.measure(question, picture, budget or Budget()))
        if on_step is not None:
            on_step(picture + 1, count)
    return torch.stack(found)
