"""Cosines of features, by hand and by their properties."""

import pytest
import torch

from concept_atelier.core.evaluate.similarity import compositional_similarity, similarity, unit


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(shape, generator=generator)


def test_unit_length_by_hand():
    assert torch.allclose(unit(torch.tensor([[3.0, 4.0]])), torch.tensor([[0.6, 0.8]]))


def test_cosines_by_hand():
    drawn = torch.tensor([[[1.0, 0.0], [1.0, 1.0]], [[0.0, -2.0], [0.0, 5.0]]])
    candidates = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    half = 0.5**0.5
    wanted = torch.tensor([[[1.0, 0.0], [half, half]], [[0.0, -1.0], [0.0, 1.0]]])
    assert torch.allclose(similarity(drawn, candidates), wanted)


def test_the_joint_picture_by_hand():
    joint = torch.tensor([[0.0, 3.0], [1.0, 1.0]])
    assert torch.allclose(compositional_similarity(joint, torch.tensor([[0.0, 1.0]])), torch.tensor([1.0, 0.5**0.5]))


def test_lengths_do_not_matter(features):
    drawn, candidates = features(2, 3, 8), features(5, 8)
    longer = drawn * torch.tensor([0.01, 7.0, 300.0])[:, None], candidates * torch.arange(1, 6.0)[:, None]
    assert torch.allclose(similarity(*longer), similarity(drawn, candidates), atol=1e-6)
    joint, picture = features(4, 8), features(1, 8)
    assert torch.allclose(
        compositional_similarity(joint * 9, picture / 9), compositional_similarity(joint, picture), atol=1e-6
    )


def test_half_precision_is_taken(features):
    drawn, candidates = features(2, 3, 8), features(5, 8)
    assert similarity(drawn.half(), candidates.half()).dtype == torch.float32
    assert torch.allclose(similarity(drawn.half(), candidates.half()), similarity(drawn, candidates), atol=5e-3)


@pytest.mark.parametrize(
    ("drawn", "candidates", "message"),
    [
        (torch.ones(2, 8), torch.ones(2, 8), r"must be \(N, K, D\)"),
        (torch.ones(2, 0, 8), torch.ones(2, 8), "none of them empty"),
        (torch.ones(2, 1, 8), torch.ones(2, 9), "the same picture encoder"),
        (torch.full((2, 1, 8), torch.nan), torch.ones(2, 8), "not finite"),
        (torch.zeros(2, 1, 8), torch.ones(2, 8), "all zero"),
    ],
)
def test_what_cannot_be_compared(drawn, candidates, message):
    with pytest.raises(ValueError, match=message):
        similarity(drawn, candidates)


def test_sim_c_is_of_one_picture(features):
    with pytest.raises(ValueError, match="one source picture, got 2"):
        compositional_similarity(features(3, 8), features(2, 8))
