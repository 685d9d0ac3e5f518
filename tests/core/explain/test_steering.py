import pytest
import torch

from concept_atelier.core.explain.steering import posterior_of


def test_a_posterior_of_one_takes_a_code_away_and_of_none_leaves_it():
    """Codes of 3 to 4 belong to the concept, codes of 1 to 2 to anything else, codes of 0 to both alike."""
    generator = torch.Generator().manual_seed(0)
    own = 3 + torch.rand(5000, 1, generator=generator)
    other = 1 + torch.rand(5000, 1, generator=generator)
    nothing = torch.zeros(5000, 1)
    posterior = posterior_of(torch.cat([own, nothing]), torch.cat([other, nothing]))
    codes = torch.tensor([[0.0], [1.5], [3.5]])
    assert posterior.of(codes)[:, 0].tolist() == pytest.approx([0.5, 0, 1], abs=0.03)
    assert (codes * (1 - posterior.of(codes)))[:, 0].tolist() == pytest.approx([0, 1.5, 0], abs=0.12)


def test_a_code_beyond_all_that_were_seen_counts_as_the_largest():
    posterior = posterior_of(torch.tensor([[2.0]] * 50), torch.tensor([[1.0]] * 50))
    assert torch.equal(posterior.of(torch.tensor([[9.0]])), posterior.of(torch.tensor([[2.0]])))
