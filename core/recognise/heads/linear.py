"""A linear head whose classes rest on few concepts.

Multinomial logistic regression in which every class counts alike, with an l1 penalty, by accelerated proximal gradients
(FISTA, Beck and Teboulle 2009). Of each class the few largest weights are kept, as the measure NEC-m of concept
bottlenecks asks for, and these are fitted again without the penalty.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ...settings import Settings, setting

ITERATIONS, TOLERANCE = 400, 1e-6


@dataclass(frozen=True)
class LinearSettings(Settings):
    """Settings of :func:`fit_linear`."""

    largest: int = setting(5, "Keep at most this many concepts for each class; 0 keeps all.", least=0)
    sparsity: float = setting(
        0.1, "The l1 penalty as a share of the one at which every weight is 0.", least=0, most=0.99
    )
    ridge: float = setting(0.02, "The penalty on squared weights, which keeps them small.", least=1e-6)


def fit_linear(values: Tensor, labels: Tensor, classes: int, settings: LinearSettings) -> tuple[Tensor, Tensor]:
    """Weights (C, K) and biases (C,) that predict labels (P,) long from standardised values (P, K).

    Raises ``ValueError`` for a class without a picture.
    """
    counts = torch.bincount(labels, minlength=classes)
    if int(counts.min()) == 0:
        raise ValueError("every class needs at least one picture")
    rows, wanted = values.double(), one_hot(labels, classes).double()
    share = (1 / (classes * counts.double()))[labels]  # (P,) every class weighs alike
    penalty = 0.0
    if settings.sparsity:
        start = (wanted - wanted.new_tensor(1 / classes)) * share[:, None]  # (P, C) residuals at weights of 0
        penalty = settings.sparsity * float((start.T @ rows).abs().max())
    weights, bias = _fista(rows, wanted, share, penalty, settings.ridge)
    if settings.largest and settings.largest < values.shape[1]:
        kept = torch.zeros_like(weights, dtype=torch.bool)
        kept.scatter_(1, weights.abs().topk(settings.largest, 1).indices, True)
        kept &= weights != 0
        weights, bias = _fista(rows, wanted, share, 0.0, settings.ridge, kept)
    return weights.float(), bias.float()


def _fista(
    rows: Tensor, wanted: Tensor, share: Tensor, penalty: float, ridge: float, kept: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The minimum of the loss over weights that are ``kept``, and biases."""
    whole = torch.cat([rows, torch.ones_like(rows[:, :1])], 1)  # (P, K + 1): the last column is the bias
    weighed = whole * share.sqrt()[:, None]
    step = 1 / (0.5 * float(torch.linalg.matrix_norm(weighed, 2)) ** 2 + ridge)
    free = torch.ones(wanted.shape[1], whole.shape[1], dtype=torch.bool)
    if kept is not None:
        free[:, :-1] = kept
    shrink = torch.full_like(free, penalty * step, dtype=torch.float64)
    decay = torch.full_like(shrink, ridge)
    shrink[:, -1] = decay[:, -1] = 0  # the bias is not penalised
    now = torch.zeros_like(shrink)  # (C, K + 1)
    ahead, momentum = now, 1.0
    for _ in range(ITERATIONS):
        residual = ((whole @ ahead.T).softmax(1) - wanted) * share[:, None]  # (P, C)
        moved = ahead - step * (residual.T @ whole + decay * ahead)
        moved = torch.where(free, moved.sign() * (moved.abs() - shrink).clamp(min=0), 0.0)
        next_momentum = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        if float(((ahead - moved) * (moved - now)).sum()) > 0:  # momentum points uphill: begin it anew
            next_momentum = momentum = 1.0
        ahead = moved + (momentum - 1) / next_momentum * (moved - now)
        change, now, momentum = float((moved - now).abs().max()), moved, next_momentum
        if change < TOLERANCE:
            break
    return now[:, :-1], now[:, -1]
