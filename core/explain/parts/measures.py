"""How good a dictionary is: what it explains, how stable and how sparse it is.

After *A Holistic Approach to Unifying Automatic Concept Extraction and Concept Importance Estimation* (Fel et al. 2023,
arXiv 2306.07304).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...assignment import best_assignment


def explained(rows: Tensor, reconstruction: Tensor) -> float:
    """R²: 1 - ||A - UV||² / ||A - mean||², for rows (n, D); at most 1."""
    spread = (rows - rows.mean(0)).double().square().sum().clamp(min=1e-12)
    return float(1 - (rows - reconstruction).double().square().sum() / spread)


def matched_cosines(directions: Tensor, others: Sequence[Tensor]) -> Tensor:
    """(K,) the mean, over other dictionaries (K, D), of each direction's cosine with its match there; matches are one
    to one, with the largest sum of cosines (Hungarian). Ones without others."""
    if not others:
        return torch.ones(len(directions))
    found = torch.zeros(len(others), len(directions))
    for number, other in enumerate(others):
        cosines = normalize(directions, dim=1) @ normalize(other, dim=1).T  # (K, K)
        for row, column in best_assignment(cosines):
            found[number, row] = cosines[row, column]
    return found.mean(0)


def hoyer(codes: Tensor) -> Tensor:
    """(n,) sparsity of codes (n, K) after Hoyer 2004: 1 for one concept alone, 0 for all alike."""
    root = codes.shape[1] ** 0.5
    if root == 1:
        return torch.ones(len(codes))
    return (root - codes.abs().sum(1) / codes.norm(dim=1).clamp(min=1e-12)) / (root - 1)
