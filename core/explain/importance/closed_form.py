"""Importance where the score is linear: a concept's codes times its direction's weight.

For ``h(u) = sum over k of u_k <V_k, w> + b`` gradient times input, integrated gradients and removal all give
``u_k <V_k, w>``, which is optimal for deletion, insertion and fidelity (*A Holistic Approach to Unifying Automatic
Concept Extraction and Concept Importance Estimation*, Fel et al. 2023, arXiv 2306.07304, section 3.2).
"""

from torch import Tensor

from .head import Question
from .method import Budget, Measure


def _measure(question: Question, picture: int, budget: Budget) -> Tensor:
    weights = question.head.weights
    assert weights is not None
    bank = question.codes.bank
    return question.codes.values[picture].mean(0) * ((bank.directions * bank.scale) @ weights)


def _check(question: Question) -> None:
    if question.head.weights is None:
        raise ValueError(
            f"{question.head.title} is no linear function of the activations, so there is no closed form; choose sobol"
        )


METHOD = Measure(
    name="closed_form",
    title="Closed form",
    help="Exact where the score is linear, as that of a linear probe is; needs no pass of the model.",
    measure=_measure,
    check=_check,
)
