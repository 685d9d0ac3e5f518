"""The Oracle Impurity Score: known answers."""

import pytest
import torch

from concept_atelier.core.recognise.impurity import impurity


@pytest.fixture(scope="module")
def present():
    """400 pictures of three concepts that have nothing to do with one another."""
    return torch.rand(400, 3, generator=torch.Generator().manual_seed(0)) < 0.5


def test_the_truth_is_pure(present):
    found = impurity(present.float(), present)
    assert found.score == 0 and found.leaks() == [] and found.noise < 0.15
    assert torch.allclose(found.true.diagonal(), torch.ones(3, dtype=torch.float64))


def test_values_that_all_say_everything_reach_the_bound(present):
    """A number for each of the eight combinations: every value predicts every concept. 2/k sqrt(k (k - 1)) / 2."""
    code = (present.float() * torch.tensor([4.0, 2.0, 1.0])).sum(1, keepdim=True)
    found = impurity(code.expand(-1, 3), present)
    assert found.score == pytest.approx((2 / 3) ** 0.5, abs=0.08) and float(found.learnt.min()) > 0.95


def test_one_leak_is_named(present):
    values = present.float()
    values[:, 0] += 0.25 * present[:, 2]
    found = impurity(values, present)
    assert found.leaks()[0][:2] == (0, 2) and found.leaks()[0][2] > 0.3
    assert found.score > 3 * found.noise


def test_concepts_that_go_together_in_truth_are_no_leak(present):
    joined = torch.cat([present[:, :2], present[:, :1]], 1)
    assert impurity(joined.float(), joined).score == 0


def test_values_that_say_nothing_lose_the_diagonal(present):
    noise = torch.randn(400, 3, generator=torch.Generator().manual_seed(1))
    assert impurity(noise, present).score == pytest.approx(1 / 3**0.5, abs=0.15)


def test_too_few_concepts_give_none_and_shapes_must_agree(present):
    assert impurity(present.float(), torch.zeros_like(present)) is None
    with pytest.raises(ValueError, match="one shape"):
        impurity(present.float()[:, :2], present)
