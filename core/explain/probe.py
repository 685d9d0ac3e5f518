"""The plain linear probe: a ridge regression on activations, fitted to which pictures show what is asked for.

*Are Sparse Autoencoders Useful?* (Kantamneni et al. 2025, arXiv 2502.16681) finds that such a probe does as well as
dictionaries wherever examples are at hand; it therefore stands beside them.
"""

import torch
from torch import Tensor

RIDGE = 30.0


def ridge(rows: Tensor, present: Tensor, strength: float = RIDGE) -> Tensor:
    """(D,) weights of a ridge regression from standardised rows (P, D) to yes and no (P,), for rows as they are."""
    scale = rows.std(0).clamp(min=1e-6)
    made = (rows - rows.mean(0)) / scale
    gram = made @ made.T + strength * torch.eye(len(made))  # (P, P): fewer pictures than numbers
    wanted = present.float() - present.float().mean()
    return made.T @ torch.linalg.solve(gram, wanted) / scale


def auroc(scores: Tensor, present: Tensor) -> Tensor:
    """() the share of pairs of a picture with and one without that the scores (P,) order rightly; ties count half."""
    with_it, without = scores[present], scores[~present]
    return (with_it[:, None] > without).double().mean() + 0.5 * (with_it[:, None] == without).double().mean()


def held_out(rows: Tensor, present: Tensor, parts: int = 5, seed: int = 0) -> float:
    """The AUROC of probes of rows (P, D) on held-out pictures, one part after another.

    Raises ``ValueError`` for fewer than two pictures of either kind.
    """
    if min(int(present.sum()), int((~present).sum())) < 2:
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
            answers = rows[hidden] @ ridge(rows[training], present[training])
            # Probes of different parts have different sizes: their answers are compared as ranks among all pictures.
            every = (rows @ ridge(rows[training], present[training])).sort().values
            scores[hidden] = torch.searchsorted(every, answers).float()
    return float(auroc(scores, present))
