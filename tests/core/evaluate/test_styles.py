"""Distances of style on pictures whose answer is known."""

import pytest
import torch

from concept_atelier.core.evaluate.styles import style_distance, style_spread, styles_of


def thing(row, column, colour=(1.0, 0.0, 0.0), ground=(0.5, 0.5, 0.5)):
    """A square of 8 pixels on a plain ground of 32."""
    picture = torch.tensor(ground)[:, None, None].repeat(1, 32, 32)
    picture[:, row : row + 8, column : column + 8] = torch.tensor(colour)[:, None, None]
    return picture[None]


def apart(one, other):
    return style_distance(styles_of(one), styles_of(other))


def test_the_same_picture_has_the_same_style_and_a_moved_thing_almost():
    assert float(apart(thing(4, 4), thing(4, 4))) == 0
    assert float(apart(thing(4, 4), thing(16, 12))) < 0.001


def test_other_colours_grounds_and_textures_are_further_apart_than_a_moved_thing():
    plain = thing(4, 4)
    noisy = (plain + 0.2 * torch.randn(plain.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    for other in (thing(4, 4, colour=(0.0, 0.0, 1.0)), thing(4, 4, ground=(0.9, 0.9, 0.5)), noisy):
        assert 0.1 < float(apart(plain, other)) <= 1
        torch.testing.assert_close(apart(plain, other), apart(other, plain))


def test_black_and_white_have_no_edges_to_compare():
    black, white = torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8)
    # Colour Gram matrices: norms 1 and 4, of the difference sqrt(15); edges do not differ.
    torch.testing.assert_close(apart(black, white), torch.full((2,), 15**0.5 / 5 / 2))


def test_the_spread_is_the_mean_over_pairs():
    pictures = torch.cat([thing(4, 4), thing(4, 4), thing(4, 4, ground=(0.9, 0.9, 0.5))])
    torch.testing.assert_close(style_spread(styles_of(pictures)), apart(pictures[:1], pictures[2:])[0] * 2 / 3)


@pytest.mark.parametrize(
    ("shapes", "said"), [(((1, 3, 4, 4), (1, 3, 4, 4)), "8 pixels"), (((2, 3, 8, 8), (1, 3, 8, 8)), "in pairs")]
)
def test_pictures_that_cannot_be_compared_are_refused(shapes, said):
    with pytest.raises(ValueError, match=said):
        apart(*map(torch.zeros, shapes))
