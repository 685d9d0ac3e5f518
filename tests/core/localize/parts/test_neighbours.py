"""Rows of attention evened out among neighbours of like colour."""

import math

import pytest
import torch

from concept_atelier.core.localize.parts.neighbours import cell_colours, even_out, neighbour_weights

GRID = (4, 6)


def two_colours():
    """(24, 3): three columns of red, three of blue."""
    colours = torch.zeros(*GRID, 3)
    colours[:, :3, 0], colours[:, 3:, 2] = 1, 1
    return colours.flatten(0, 1)


def test_weights_follow_the_formula():
    weights = neighbour_weights(two_colours(), GRID, reach=1.0, contrast=0.5)
    # The cell below: one cell away and of the same colour; the fourth column: one away from the third, at sqrt(2).
    assert math.log(weights[0, 0] / weights[0, 6]) == pytest.approx(0.5, abs=1e-5)
    assert math.log(weights[2, 2] / weights[2, 3]) == pytest.approx(0.5 + 2 / (2 * 0.25), abs=1e-4)
    assert torch.allclose(weights.sum(1), torch.ones(24))


def test_noise_is_averaged_within_a_thing_and_not_across_its_outline():
    colours = two_colours()
    thing = colours[:, 2].bool()
    clean = torch.where(thing[:, None] == thing[None], 1.0, 0.0) / 12
    noisy = (clean + 0.2 * torch.rand(24, 24, generator=torch.Generator().manual_seed(0))).clone()
    noisy /= noisy.sum(1, keepdim=True)
    evened = even_out(noisy, colours, GRID, reach=1.5, contrast=0.1)
    assert torch.allclose(evened.sum(1), torch.ones(24), atol=1e-6)
    own = [rows[thing][:, ~thing].sum(1).mean() for rows in (noisy, evened)]
    assert own[1] == pytest.approx(float(own[0]), rel=0.05)  # nothing leaks to the other side
    spread = [rows[thing].std(0).mean() for rows in (noisy, evened)]
    assert spread[1] < 0.6 * spread[0]


def test_colours_are_means_over_the_part_that_is_covered():
    picture = torch.zeros(1, 3, 18, 24)
    picture[:, 1, 1:17, :4], picture[:, 0, 0], picture[:, 0, -1] = 1, 1, 1
    colours = cell_colours(picture, (4, 6), (16, 24))
    assert colours.shape == (24, 3)
    assert torch.equal(colours.view(4, 6, 3)[:, 0], torch.tensor([0.0, 1, 0]).expand(4, 3))
    assert not colours.view(4, 6, 3)[:, 1:].any()


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="above 0, got 0 and 0.2"):
        neighbour_weights(two_colours(), GRID, 0, 0.2)
