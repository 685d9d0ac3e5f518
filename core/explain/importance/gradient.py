"""Gradient times input: how the score changes where all codes of a concept grow by a small share.

``phi_k = sum over positions of u_k dh/du_k`` (Fel et al. 2023, arXiv 2306.07304, section 3.2).
"""

import torch
from torch import Tensor

from .head import Question
from .method import Budget, Measure


def _measure(question: Question, picture: int, budget: Budget) -> Tensor:
    with torch.inference_mode(False), torch.enable_grad():
        factors = torch.ones(1, len(question.codes.bank), requires_grad=True)
        (found,) = torch.autograd.grad(question.cloned().scores(picture, factors).sum(), factors)
    return found[0].detach()


def _check(question: Question) -> None:
    if question.head.no_gradient:
        raise ValueError(f"{question.head.no_gradient} Choose sobol or removal.")


METHOD = Measure(
    name="gradient",
    title="Gradient times input",
    help="How the score changes where an ingredient grows by a small share; one pass for each picture.",
    measure=_measure,
    check=_check,
    passes=lambda concepts, budget: 1,
)
