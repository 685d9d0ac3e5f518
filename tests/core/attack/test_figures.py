"""Figures between floor and ceiling, and where a curve crosses a level."""

import pytest
import torch

from concept_atelier.core.attack.figures import Figure, crossing, joined, share


@pytest.mark.parametrize(
    ("found", "floor", "ceiling", "returned", "verdict"),
    [
        (0.0, 0.0, 1.0, 0.0, "gone"),
        (1.0, 0.0, 1.0, 1.0, "back"),
        (0.5, 0.2, 0.8, 0.5, "back"),
        (0.25, 0.0, 1.0, 0.25, "partly back"),
        (0.1, 0.2, 1.0, 0.0, "gone"),  # below the floor: as little as in pictures without it
        (1.0, 0.0, 0.8, 1.0, "back"),  # above the ceiling
        (0.4, 0.4, 0.5, None, "not measurable"),
    ],
)
def test_a_figure_lies_between_its_floor_and_its_ceiling(found, floor, ceiling, returned, verdict):
    figure = Figure(found, floor, ceiling, 8)
    assert figure.returned == (None if returned is None else pytest.approx(returned))
    assert figure.verdict == verdict


@pytest.mark.parametrize(
    ("points", "where"),
    [
        ([(0, 0.0), (10, 0.25), (20, 0.75), (30, 1.0)], 15.0),
        ([(0, 0.0), (10, 0.5)], 10.0),
        ([(0, 0.8), (10, 1.0)], 0),
        ([(0, 0.0), (10, 1.0), (20, 0.0)], 5.0),
        ([(0, 0.0), (10, 0.4)], None),
        ([], None),
    ],
)
def test_where_a_curve_reaches_half(points, where):
    assert crossing(points) == (None if where is None else pytest.approx(where))


def test_joined_figures_are_counted_by_their_pictures():
    both = joined([Figure(1.0, 0.0, 1.0, 1), Figure(0.0, 0.0, 0.5, 3)])
    assert both == Figure(pytest.approx(0.25), 0.0, pytest.approx(0.625), 4)
    with pytest.raises(ValueError, match="no figures"):
        joined([])


def test_a_share_is_of_all_pictures():
    assert share(torch.tensor([True, False, False, False])) == 0.25
