import pytest
import torch

from concept_atelier.core.sample_weights import RunningScale, ascend


def test_weights_rise_where_the_label_costs_more_and_stay_where_both_are_equal():
    half = torch.tensor([0.5, 0.5, 0.5])
    moved = ascend(half, torch.tensor([2.0, 1.0, 0.0]), torch.tensor([1.0, 1.0, 1.0]), 1.0)
    assert moved[0] > 0.5 == moved[1] > moved[2]
    torch.testing.assert_close(moved[0] / (1 - moved[0]), torch.tensor(2.718282))  # odds grow by exp(eta difference)


def test_numbers_are_standardised_by_those_so_far_of_their_level():
    scale, given = RunningScale(2), [3.0, 5.0, 1.0, 7.0]
    for number, value in enumerate(given):
        scale.standardised(100.0 * value, 1)
        found = scale.standardised(value, 0)
        so_far = torch.tensor(given[: number + 1], dtype=torch.float64)
        expected = (value - so_far.mean()) / so_far.std(correction=0) if number else 0.0
        assert found == pytest.approx(float(expected))
    assert scale.seen[0].tolist() == pytest.approx([4, 4.0, 20.0])


def test_numbers_that_are_all_alike_are_no_evidence():
    scale = RunningScale(1)
    assert [scale.standardised(2.0, 0) for _ in range(3)] == [0, 0, 0]
