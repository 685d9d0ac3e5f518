"""Runs of one capture: recognised by what they gave, by text and by place."""

import pytest
import torch

from concept_atelier.core.attention.maps import AttentionMaps
from concept_atelier.core.attention.selection import Selection
from concept_atelier.core.attribute.places import Place, whole
from concept_atelier.host.shared.captures import KEPT_RUNS, AttentionCapture, CapturedPart, Run

CAT, DOG = torch.zeros(1, 3, 2), torch.ones(1, 3, 2)


def part(context=CAT, place=None):
    cross = {(2, 2): torch.full((1, 3, 2, 2), 1 / 3)}
    return CapturedPart(
        place or whole((2, 2)), AttentionMaps(cross, {}, {(2, 2): 1}, {}, {(2, 2): 1}, {}, None, context)
    )


def run(number, *parts):
    return Run(parts or (part(),), (2, 2), torch.full((1, 4, 2, 2), float(number)))


@pytest.fixture
def capture():
    return AttentionCapture(Selection())


def test_the_run_is_the_one_that_gave_the_latent(capture):
    runs = [run(1), run(2)]
    for one in runs:
        capture.add(one)
    for one in runs:
        assert capture.run_of(one.samples) == (one, "")
        assert capture.run_of(one.samples.double())[0] is one


def test_a_changed_latent_is_the_last_runs_and_it_is_reported(capture):
    capture.add(run(1))
    assert capture.run_of(torch.zeros(1, 4, 4, 4))[1] == ""  # no other run could be meant
    assert "holds 3 pictures and the run that was recorded 1" in capture.run_of(torch.zeros(3, 4, 4, 4))[1]
    capture.add(last := run(2))
    found, note = capture.run_of(torch.zeros(1, 4, 4, 4))
    assert found is last and "last 2 runs" in note


def test_the_same_run_again_takes_its_own_place_and_old_ones_go(capture):
    capture.add(run(1))
    capture.add(again := run(1))
    assert list(capture.runs) == [again]
    for number in range(2, 9):
        capture.add(run(number))
    assert [float(one.samples[0, 0, 0, 0]) for one in capture.runs] == list(range(9 - KEPT_RUNS, 9))


def test_a_run_between_others_comes_again(capture):
    for number in (1, 2, 3):
        capture.add(run(number))
    capture.add(again := run(2))
    assert [float(one.samples[0, 0, 0, 0]) for one in capture.runs] == [1, 3, 2]
    assert capture.run_of(again.samples) == (again, "")


def test_parts_are_chosen_by_their_text(capture):
    place = Place(0, 0, 1, 1)
    both = run(1, part(), part(DOG), part(DOG, place))
    assert [where for where, _ in both.parts_about(DOG)] == [whole((2, 2)), place]
    assert len(both.parts_about(CAT)) == 1 and both.texts == 2
    assert both.parts_about(CAT + 2) == [] == run(1).parts_about(torch.zeros(1, 5, 2))


def test_what_could_not_be_recorded_is_reported(capture):
    with pytest.raises(ValueError, match="no sampler has finished on the MODEL"):
        capture.run_of(torch.zeros(1))
    with pytest.raises(ValueError, match="no attention was recorded: tiles were turned"):
        Run((), (2, 2), None, ("tiles were turned",)).parts_about(CAT)
    capture.add(Run((part(),), (2, 2), None, ("one layer was merged",)))
    assert capture.run_of(torch.zeros(1))[1] == "Not all of it was recorded: one layer was merged."
    capture.add(run(1, part(), part(DOG)))
    with pytest.raises(ValueError, match="2 parts"):
        capture.maps()
