"""Pairs with the largest sum, against trying all of them."""

from itertools import permutations

import pytest
import torch

from concept_atelier.core.assignment import best_assignment


def brute_force(gain):
    n, m = gain.shape
    if n > m:
        return brute_force(gain.T)
    return max(sum(gain[i, j].item() for i, j in enumerate(p)) for p in permutations(range(m), n))


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 4), (3, 6), (6, 3), (5, 6)])
@pytest.mark.parametrize("seed", range(8))
def test_assignment_equals_brute_force(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    gain = torch.rand(shape, generator=generator).double()
    if seed % 2:
        gain = (gain * 3).round()  # many ties
    pairs = best_assignment(gain)
    assert len(pairs) == min(shape)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == min(shape)
    assert sum(gain[i, j].item() for i, j in pairs) == pytest.approx(brute_force(gain))


def test_assignment_of_nothing():
    assert best_assignment(torch.zeros(0, 3)) == [] == best_assignment(torch.zeros(3, 0))


def test_greedy_matching_would_be_worse():
    assert best_assignment(torch.tensor([[0.9, 0.8], [0.8, 0.0]])) == [(0, 1), (1, 0)]
