"""Processes that train one model together."""

import pytest
import torch

from concept_atelier.training.team import Team, launch


def learn(team, folder):
    """One step down the mean of losses that differ by process."""
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    (weight * (team.rank + 1)).sum().backward()
    team.share_gradients([weight])
    torch.save(weight.grad, folder / f"{team.rank}.pt")


def fail(team):
    raise RuntimeError(f"worker {team.rank} of {team.size}")


def test_two_workers_see_the_mean_gradient(tmp_path):
    launch(2, learn, tmp_path)
    for rank in range(2):
        assert torch.equal(torch.load(tmp_path / f"{rank}.pt"), torch.tensor([1.5, 1.5]))


def test_one_worker_works_in_this_process(tmp_path):
    launch(1, learn, tmp_path)
    assert torch.equal(torch.load(tmp_path / "0.pt"), torch.tensor([1.0, 1.0]))
    assert Team().leads


def test_a_failing_worker_ends_the_run():
    with pytest.raises(torch.multiprocessing.ProcessRaisedException, match="worker . of 2"):
        launch(2, fail)


def test_no_workers_are_refused():
    with pytest.raises(ValueError, match="at least 1 worker, got 0"):
        launch(0, learn)
