import pytest
import torch
from torch.nn.functional import normalize

from concept_atelier.core.explain.parts.sparse import (
    SparseSettings,
    _dead_loss,
    _Directions,
    _Mixtures,
    keep_batch,
    keep_top,
    train,
)
from concept_atelier.core.explain.parts.task import FindTask


def test_a_direction_that_is_never_used_turns_to_what_the_others_leave():
    """Rows are a long part along the first axis, which the first direction explains, and a short one along the second.
    The other direction never has the larger code, and begins between the second axis and one that no row has."""
    rows = torch.rand(600, 2, generator=torch.Generator().manual_seed(0)) @ torch.eye(2, 6)
    rows[:, 0] += 2
    start = normalize(torch.tensor([[1.0, 0, 0, 0, 0, 0], [0, 1.0, 2, 0, 0, 0]]), dim=1)
    settings = SparseSettings(steps=200, rate=2e-2, active=1, batch=64)
    task = FindTask(rows, 2, settings, torch.Generator().manual_seed(0))
    turned = normalize(train(task, lambda task: _Directions(start), keep_top).directions[1], dim=0)
    assert float(start[1, 1]) < 0.5 < 0.65 < float(turned[1])


def test_of_many_directions_that_are_never_used_the_strongest_few_learn_at_each_row(generator):
    """Rows of four numbers: of ten unused directions two learn at a row, and used ones never."""
    before = torch.rand(5, 12, generator=generator).requires_grad_()
    dead, left = torch.arange(12) >= 2, torch.randn(5, 4, generator=generator)
    _dead_loss(before, dead, left, torch.randn(12, 4, generator=generator)).backward()
    learn = before.grad != 0
    strongest = before.detach().masked_fill(~dead, -1).topk(2, 1).indices
    assert torch.equal(learn, torch.zeros_like(learn).scatter(1, strongest, True))


def test_codes_are_kept_by_row_or_by_batch():
    codes = torch.tensor([[5.0, 4.0, 3.0], [2.0, 0.5, 1.0]])
    assert (keep_top(codes, 1)[0] > 0).sum(1).tolist() == [1, 1]
    kept, least = keep_batch(codes, 1)
    assert (kept > 0).sum(1).tolist() == [2, 0] and float(least) == 4


@pytest.mark.parametrize("count", [16, 17, 40])
def test_more_mixtures_than_points_begin_between_two_points_and_apart(count, generator):
    points = torch.randn(16, 32, generator=generator)
    start = _Mixtures(points, count, 0.3, generator)().detach()
    alike = start @ start.T
    nearest = (normalize(points, dim=1) @ start.T).amax(0)
    assert bool((nearest > 0.6).all()) and float((alike.sum() - count) / count / (count - 1)) < 0.2
