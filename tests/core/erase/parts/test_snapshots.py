"""Snapshots: the first that erases is taken, else the one that erases most, and a resumed training takes the same."""

import pytest
import torch

from concept_atelier.core.erase.parts.snapshots import Snapshots


def taken(measures, enough=0.0, every=2):
    """The snapshot that is taken of a parameter that counts updates."""
    parameter, values = torch.zeros(1), iter(measures)
    snapshots = Snapshots(every, every * len(measures), [parameter], lambda: next(values), enough)
    for step in range(every * len(measures) + 1):
        snapshots.take(step)
        parameter += 1
    return snapshots, int(snapshots.kept[0])


@pytest.mark.parametrize(
    ("measures", "at"), [([0.9, -0.1, -5.0], 4), ([0.9, 0.2, 0.5], 4), ([0.0, -1.0], 2), ([1.5, 1.2, 1.0], 6)]
)
def test_the_first_that_is_enough_or_the_least(measures, at):
    snapshots, kept = taken(measures)
    assert kept == at == snapshots.taken[0] and len(snapshots.measures) == len(measures)


def test_the_end_is_a_snapshot_whatever_the_steps():
    parameter = torch.zeros(1)
    snapshots = Snapshots(4, 5, [parameter], lambda: 0.5, 0.0)
    for step in range(6):
        snapshots.take(step)
    assert [at for at, _ in snapshots.measures] == [4, 5]


@pytest.mark.parametrize("updates", [2, 3, 4])
def test_a_state_is_gone_on_from(updates):
    parameter, values = torch.zeros(1), {2: 0.5, 4: -0.5, 6: -2.0}

    def begin():
        return Snapshots(2, 6, [parameter], lambda: values[int(parameter)], 0.0)

    first = begin()
    for step in range(updates):  # the state is kept before the snapshot of the last update
        parameter.fill_(step)
        first.take(step)
    again = begin()
    again.restore(updates, {name: tensor.clone() for name, tensor in first.state().items()})
    for step in range(updates, 7):
        parameter.fill_(step)
        again.take(step)
    assert again.taken == (4, -0.5) and int(again.kept[0]) == 4


def test_a_state_that_no_training_could_have_left_is_refused():
    snapshots = Snapshots(2, 6, [torch.zeros(1)], lambda: 0.5, 0.0)
    state = snapshots.state() | {"taken": torch.tensor([2, 1])}
    with pytest.raises(ValueError, match="2 snapshots after 2 updates, expected 0"):
        snapshots.restore(2, state)
