import pytest
import torch

from concept_atelier.core.attention.accumulate import RunningMeans


def test_means_counts_and_layers_per_grid():
    running = RunningMeans()
    running.add((1, 2), torch.tensor([[2.0, 4.0]]), "a")
    for value, layer in ((1.0, "b"), (3.0, "b"), (5.0, "c")):
        running.add((2, 2), torch.full((1, 4), value), layer)
    assert list(running.means()) == [(2, 2), (1, 2)]  # the finest first
    assert running.means()[(2, 2)].equal(torch.full((1, 4), 3.0))
    assert running.counts() == {(2, 2): 3, (1, 2): 1}
    assert running.layers() == {(2, 2): 2, (1, 2): 1}


def test_what_was_added_is_not_written_to():
    first = torch.ones(1, 2)
    running = RunningMeans()
    running.add((1, 2), first, "a")
    running.add((1, 2), first, "a")
    assert first.equal(torch.ones(1, 2))


def test_a_changed_batch_is_refused():
    running = RunningMeans()
    running.add((1, 2), torch.ones(1, 2), "a")
    with pytest.raises(ValueError, match="changed within one recording"):
        running.add((1, 2), torch.ones(3, 2), "a")
