import pytest
import torch

from concept_atelier.core.clustering.kmeans import kmeans


def test_far_blobs_are_found():
    generator = torch.Generator().manual_seed(0)
    truth = torch.randperm(100, generator=generator) % 4
    rows = 10 * torch.eye(4)[truth] + 0.1 * torch.randn(100, 4, generator=generator)
    labels = kmeans(rows, 4, seed=7)
    assert len(labels.unique()) == len(set(zip(labels.tolist(), truth.tolist(), strict=True))) == 4


def error(rows, labels):
    """The squared distance of rows from the means of their clusters."""
    return sum((rows[labels == k] - rows[labels == k].mean(0)).square().sum() for k in labels.unique()).item()


def test_rows_without_groups_are_much_nearer_to_their_means_than_by_random_labels():
    generator = torch.Generator().manual_seed(4)
    rows, labels = torch.rand(120, 2, generator=generator), torch.randint(6, (120,), generator=generator)
    assert error(rows, kmeans(rows, 6)) < 0.3 * error(rows, labels)


def test_same_seed_same_labels_and_the_global_generator_is_left_alone():
    rows = torch.rand(80, 3, generator=torch.Generator().manual_seed(1))
    before = torch.get_rng_state()
    assert torch.equal(kmeans(rows, 5, seed=3), kmeans(rows, 5, seed=3))
    assert torch.equal(before, torch.get_rng_state())


def test_more_restarts_are_never_worse():
    rows = torch.rand(150, 2, generator=torch.Generator().manual_seed(2))
    assert error(rows, kmeans(rows, 12, 0, restarts=12)) <= error(rows, kmeans(rows, 12, 0, restarts=1)) + 1e-5


def test_every_cluster_has_a_member_even_among_copies():
    rows = torch.ones(6, 2)
    assert kmeans(rows, 4).unique().tolist() == [0, 1, 2, 3]
    assert kmeans(rows, 1).tolist() == [0] * 6
    assert kmeans(torch.arange(5.0)[:, None], 5).unique().tolist() == [0, 1, 2, 3, 4]


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="got 4"):
        kmeans(torch.ones(3, 2), 4)
    with pytest.raises(ValueError, match="got 0"):
        kmeans(torch.ones(3, 2), 0)
    with pytest.raises(ValueError, match="finite"):
        kmeans(torch.full((3, 2), torch.inf), 2)
