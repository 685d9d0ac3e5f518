"""The plain linear probe: a ridge regression on activations, fitted to which pictures show what is asked for.

*Are Sparse Autoencoders Useful?* (Kantamneni et al. 2025, arXiv 2502.16681) finds that such a probe does as well as
dictionaries wherever examples are at hand; it therefore stands beside them.
"""

from collections.abc import Callable

import torch
from torch import Tensor

RIDGE = 30.0
LEAST = 2
"""Pictures of either kind that a probe needs."""

Fit = Callable[[Tensor, Tensor], Tensor]
"""Weights (D,) that separate rows (P, D) by which of them are present (P,)."""


def pooled(rows: Tensor) -> Tensor:
    """(P, 2 D) what a probe reads of pictures with activations (P, h * w, D): the mean and the largest of every number
    over the positions."""
    return torch.cat([rows.mean(1), rows.amax(1)], 1)


def ridge(rows: Tensor, present: Tensor, strength: float = RIDGE) -> Tensor:
    """(D,) weights of a ridge regression from standardised rows (P, D) to yes and no (P,), for rows as they are."""
    scale = rows.std(0).clamp(min=1e-6)
    made = (rows - rows.mean(0)) / scale
    gram = made @ made.T + strength * torch.eye(len(made))  # (P, P): fewer pictures than numbers
    wanted = present.float() - present.float().mean()
    return made.T @ torch.linalg.solve(gram, wanted) / scale


def single(rows: Tensor, present: Tensor) -> Tensor:
    """(D,) weights of the one column of rows (P, D) that predicts best which are present: 1 there, 0 elsewhere."""
    best = int(torch.stack([auroc(column, present) for column in rows.T]).argmax())
    return torch.nn.functional.one_hot(torch.tensor(best), rows.shape[1]).to(rows)


def auroc(scores: Tensor, present: Tensor) -> Tensor:
    """() the share of pairs of a picture with and one without that the scores (P,) order rightly; ties count half."""
    with_it, without = scores[present].contiguous(), scores[~present].sort().values
    below, not_above = (torch.searchsorted(without, with_it, right=right).sum() for right in (False, True))
    return (below + not_above).double() / (2 * len(with_it) * len(without))


def held_out(rows: Tensor, present: Tensor, parts: int = 5, seed: int = 0, fit: Fit = ridge) -> float:
    """The AUROC of probes of rows (P, D) on held-out pictures, one part after another.

    Args:
        present: (P,) bool.
        fit: makes a probe of the pictures that are not held out.

    Raises ``ValueError`` for fewer than two pictures of either kind.
    """
    if not enough(present):
        raise ValueError(
            f"a probe needs at least two pictures of either kind, got {int(present.sum())} and {int((~present).sum())}"
        )
    generator, place = torch.Generator().manual_seed(seed), torch.zeros(len(rows), dtype=torch.long)
    for kind in (present, ~present):  # so that every part has some of either kind, as far as they go
        chosen = kind.nonzero()[:, 0]
        place[chosen[torch.randperm(len(chosen), generator=generator)]] = torch.arange(len(chosen)) % parts
    scores = torch.zeros(len(rows))
    for part in range(parts):
        hidden, training = place == part, place != part
        if bool(hidden.any()) and 0 < int(present[training].sum()) < int(training.sum()):
            every = rows @ fit(rows[training], present[training])
            # Probes of different parts have different sizes: their answers are compared as ranks among all pictures.
            # Of equal answers the middle rank counts, so that what is never active is at chance.
            ordered, asked = every.sort().values, every[hidden].contiguous()
            low, high = (torch.searchsorted(ordered, asked, right=right) for right in (False, True))
            scores[hidden] = (low + high).float() / 2
    return float(auroc(scores, present))


def enough(present: Tensor) -> bool:
    """Whether there are enough pictures of either kind for a probe."""
    return min(int(present.sum()), int((~present).sum())) >= LEAST


def learnability(rows: Tensor, shown: Tensor) -> Tensor:
    """(K,) the AUROC of probes of rows (P, D) on held-out pictures, for each of K things that pictures show, (P, K)
    bool; NaN for what too few pictures show or lack.

    *Overlooked Factors in Concept-based Explanations* (Ramaswamy et al. 2023, arXiv 2207.09615, section 4) finds that
    concepts are often harder to learn than what they explain.
    """
    return torch.tensor([held_out(rows, one) if enough(one) else float("nan") for one in shown.T])
