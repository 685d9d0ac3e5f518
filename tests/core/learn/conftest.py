"""A small picture that is not square, with two concepts."""

import pytest
import torch
from torch import Tensor

from concept_atelier.core.types import Concepts


@pytest.fixture(scope="session")
def picture() -> Tensor:
    """(1, 3, 64, 96): an 8x12 latent in the lab model."""
    return torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="session")
def concepts() -> Concepts:
    masks = torch.zeros(2, 8, 12, dtype=torch.bool)
    masks[0, 1:6, 1:5] = True
    masks[1, 3:8, 7:11] = True
    targets = masks / masks.sum((1, 2), keepdim=True)
    return Concepts(masks, targets, ("apple", "crab"), torch.ones(2), (64, 96))
