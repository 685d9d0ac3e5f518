"""Parts joined against the background: known answers on rows that a person can read."""

import pytest
import torch

from concept_atelier.core.localize.parts.merge import closeness, merge_against_background, weighted_means

GROUND = torch.tensor([0.05, 0.05, 0.05, 0.05, 0.8])
PARTS = torch.tensor(
    [
        [0.50, 0.40, 0.03, 0.03, 0.04],
        [0.40, 0.50, 0.03, 0.03, 0.04],
        [0.03, 0.03, 0.50, 0.40, 0.04],
        [0.03, 0.03, 0.40, 0.50, 0.04],
    ]
)
AREAS = torch.tensor([4, 4, 4, 4])
ALL = torch.ones(4, 4, dtype=torch.bool)


def test_halves_join_and_things_stay_apart():
    assert merge_against_background(PARTS, AREAS, GROUND, 0.5).tolist() == [0, 0, 1, 1]
    assert merge_against_background(PARTS, AREAS, GROUND, 0.0).tolist() == [0, 1, 2, 3]
    assert merge_against_background(PARTS, AREAS, GROUND, 1e6).tolist() == [0, 0, 0, 0]


def test_the_scale_is_the_backgrounds():
    """The same parts are one thing on a ground that is unlike both, and apart on a ground that is like them."""
    grey = PARTS.mean(0)
    assert closeness(PARTS, grey)[0, 2] > closeness(PARTS, GROUND)[0, 2]
    assert torch.isinf(closeness(PARTS, GROUND).diagonal()).all()
    assert torch.allclose(closeness(PARTS, GROUND), closeness(PARTS, GROUND).T)
    assert torch.isfinite(closeness(PARTS, PARTS[0])[1:, 1:].triu(1)).all()  # a part that equals the ground


def test_only_what_touches_is_joined():
    apart = ALL.clone()
    apart[0, 1] = apart[1, 0] = False
    assert merge_against_background(PARTS, AREAS, GROUND, 0.5, apart).tolist() == [0, 1, 2, 2]
    alone = torch.eye(4, dtype=torch.bool)
    assert merge_against_background(PARTS, AREAS, GROUND, 0.5, alone).tolist() == [0, 1, 2, 3]


def test_scraps_do_not_count():
    """Of four parts one is a scrap: it may stay over or join, but is never one of the two that were wanted."""
    areas = torch.tensor([9, 9, 9, 1])
    features = torch.tensor(
        [[0.8, 0.1, 0.05, 0.05], [0.7, 0.2, 0.05, 0.05], [0.05, 0.05, 0.8, 0.1], [0.1, 0.1, 0.1, 0.7]]
    )
    ground = torch.full((4,), 0.25)
    labels = merge_against_background(features, areas, ground, 0.0, None, 2, least=5)
    sizes = torch.zeros(int(labels.max()) + 1).index_add_(0, labels, areas.float())
    assert labels[0] == labels[1] != labels[2] and (sizes >= 5).sum() == 2
    three = merge_against_background(features, areas, ground, 0.0, None, 3, least=5)
    assert len({int(label) for label in three[:3]}) == 3


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
def test_a_count_is_met_whatever_the_reach_and_the_adjacency(count):
    for adjacency in (None, torch.eye(4, dtype=torch.bool)):
        labels = merge_against_background(PARTS, AREAS, GROUND, 0.0, adjacency, count)
        assert int(labels.max()) + 1 == min(count, 4)


def test_means_are_weighted_by_area():
    means = weighted_means(torch.tensor([[1.0], [4.0], [9.0]]), torch.tensor([3, 1, 5]), torch.tensor([0, 0, 1]))
    assert torch.allclose(means, torch.tensor([[1.75], [9.0]]))
