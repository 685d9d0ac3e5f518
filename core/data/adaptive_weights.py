"""Weights of pictures between the labelled loss and consistency (AdaWAC, Dong et al., ICML 2023, arXiv 2210.01891).

From a log of any trainer. Pictures whose labelled loss stays high are trained on their labels, others on agreeing with
themselves; :mod:`..sample_weights` has the ascent. A wrong caption also has a high loss: beta_i0 is bounded, and
multiplied by 1 - eps_i where the probability of noise is known.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..sample_weights import GREATEST, RATE, ascend

__all__ = ["GREATEST", "RATE", "LoggedLoss", "adaptive_weights", "ascend"]


@dataclass(frozen=True)
class LoggedLoss:
    """One line of a log of training.

    Attributes:
        picture: its name.
        labelled: the loss with its caption or mask.
        consistency: of two views or two captions of it.
        level: of noise, by which losses are compared.
    """

    picture: str
    labelled: float
    consistency: float
    level: str = ""


def adaptive_weights(
    lines: Sequence[LoggedLoss], rate: float = RATE, noise: Mapping[str, float] | None = None
) -> dict[str, float]:
    """beta_i0 of each picture after a log of training, from a half on.

    Args:
        lines: in the order of training; a picture may have several.
        rate: of the ascent, divided by the number of lines of a picture, so that longer logs do not push further.
        noise: probability of each picture's caption to be wrong.

    Raises ``ValueError`` for a log without lines and for losses that are not finite.
    """
    if not lines:
        raise ValueError("the log of losses is empty; write a line for each picture: name, labelled loss, consistency")
    broken = next((one for one in lines if not math.isfinite(one.labelled + one.consistency)), None)
    if broken is not None:
        raise ValueError(f"{broken.picture} has a loss that is not finite; leave that line out")
    labelled, consistency = (
        _standardised([getattr(one, kind) for one in lines], [one.level for one in lines])
        for kind in ("labelled", "consistency")
    )
    counts: dict[str, int] = {}
    for one in lines:
        counts[one.picture] = counts.get(one.picture, 0) + 1
    names = list(counts)
    found = torch.full((len(names),), 0.5, dtype=torch.float64)
    for number, line in enumerate(lines):
        at = names.index(line.picture)
        found[at] = ascend(found[at], labelled[number], consistency[number], rate / counts[line.picture])
    trusted = torch.tensor([1 - (noise or {}).get(name, 0.0) for name in names], dtype=torch.float64)
    return dict(zip(names, (found.clamp(max=GREATEST) * trusted).tolist(), strict=True))


def _standardised(values: Sequence[float], levels: Sequence[str]) -> Tensor:
    """Values of each level with mean 0 and spread 1; a level whose values are all alike becomes 0."""
    found = torch.tensor(values, dtype=torch.float64)
    for level in dict.fromkeys(levels):
        here = torch.tensor([one == level for one in levels])
        part = found[here]
        spread = part.std(correction=0)
        found[here] = (part - part.mean()) / spread if float(spread) > 1e-12 else torch.zeros_like(part)
    return found
