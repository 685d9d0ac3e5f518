"""Removal: how much the score falls where a concept is taken out and all others stay (occlusion)."""

import torch
from torch import Tensor

from .head import Question
from .method import Budget, Measure


def _measure(question: Question, picture: int, budget: Budget) -> Tensor:
    active, found = question.active(picture), torch.zeros(len(question.codes.bank))
    if len(active):
        found[active] = question.without(picture, active)
    return found


METHOD = Measure(
    name="removal",
    title="Removal",
    help="How much the score falls without an ingredient, where all others stay.",
    measure=_measure,
    passes=lambda concepts, budget: concepts + 1,
)
