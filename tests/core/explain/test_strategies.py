import pytest
import torch

from concept_atelier.core.explain.scores import PictureScores
from concept_atelier.core.explain.strategies import group_by_strategy, silhouettes

NAMES = tuple("abcdefgh")


def importances(strategies, seed=0, noise=0.1):
    """Importances of pictures: of each strategy (concepts, pictures) so many, in a random order; and their truth."""
    generator = torch.Generator().manual_seed(seed)
    rows, truth = [], []
    for number, (concepts, count) in enumerate(strategies):
        row = torch.zeros(len(NAMES))
        row[list(concepts)] = 1.0
        size = 0.2 + torch.rand(count, 1, generator=generator)  # how much matters at all says nothing
        rows.append(size * (row + noise * torch.randn(count, len(NAMES), generator=generator)))
        truth += [number] * count
    order = torch.randperm(len(truth), generator=generator)
    return PictureScores(torch.cat(rows)[order], NAMES, "importance"), torch.tensor(truth)[order]


@pytest.mark.parametrize("seed", range(3))
def test_planted_strategies_are_found_and_so_is_their_number(seed):
    scores, truth = importances([((0,), 20), ((1, 2), 12), ((5,), 8)], seed)
    found = group_by_strategy(scores, seed=seed)
    assert torch.equal(found.labels, truth)  # the largest first
    assert found.leads(0)[0].concept == 0 and {lead.concept for lead in found.leads(1)[:2]} == {1, 2}
    assert found.leads(2)[0].first == 1.0 and found.leads(2)[0].here > 5 * abs(found.leads(2)[0].elsewhere)
    assert float(found.fits.mean()) > 0.7
    assert sorted(sum((found.members(group) for group in range(3)), [])) == list(range(40))


def test_pictures_that_are_judged_alike_are_one_group():
    scores, _ = importances([((0, 3), 30)], noise=0.2)
    found = group_by_strategy(scores)
    assert len(found) == 1 and not bool(found.fits.any())
    assert {lead.concept for lead in found.leads(0)[:2]} == {0, 3}


def test_a_number_that_is_asked_for_is_kept():
    scores, _ = importances([((0,), 10), ((1,), 10)])
    assert len(group_by_strategy(scores, 4)) == 4 and len(group_by_strategy(scores, 1)) == 1
    with pytest.raises(ValueError, match="1 to 20 groups, got 21"):
        group_by_strategy(scores, 21)
    with pytest.raises(ValueError, match="groups 1 to 4, got 5"):
        group_by_strategy(scores, 4).members(4)


def test_a_single_picture_is_a_group_and_nothing_that_matters_is_refused():
    assert group_by_strategy(PictureScores(torch.ones(1, 2), ("a", "b"), "")).labels.tolist() == [0]
    with pytest.raises(ValueError, match="no concept matters"):
        group_by_strategy(PictureScores(torch.zeros(3, 2), ("a", "b"), ""))


def test_silhouettes_against_the_definition():
    apart = torch.tensor([[0.0, 1, 4, 5], [1, 0, 3, 4], [4, 3, 0, 2], [5, 4, 2, 0]])
    expected = [(4.5 - 1) / 4.5, (3.5 - 1) / 3.5, (3.5 - 2) / 3.5, (4.5 - 2) / 4.5]
    assert silhouettes(apart, torch.tensor([0, 0, 1, 1])).tolist() == pytest.approx(expected)
    assert silhouettes(apart, torch.tensor([0, 0, 0, 1])).tolist()[3] == 0
