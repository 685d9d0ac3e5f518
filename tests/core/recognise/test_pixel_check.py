"""Hiding regions: known answers with scores whose pixels are known."""

import pytest
import torch

from concept_atelier.core.recognise.pixel_check import away_from, check_pixels, hide


def left_and_right(pictures):
    """How red the left and the right half are."""
    return torch.stack([pictures[:, 0, :, :8].mean((1, 2)), pictures[:, 0, :, 8:].mean((1, 2))], 1)


@pytest.fixture
def pictures():
    """Two pictures (16 x 16) with a red square in the left half, on grey."""
    made = torch.full((2, 3, 16, 16), 0.2)
    made[:, 0, 4:8, 2:6] = 1.0
    return made


def test_the_score_of_what_is_hidden_falls_and_no_other(pictures):
    masks = torch.zeros(2, 16, 16)
    masks[:, 4:8, 2:6] = 1
    found = check_pixels(left_and_right, pictures, masks)
    assert found.passes.tolist() == [[True, False]] * 2 and float(found.overlap.max()) == 0
    assert torch.allclose(found.fall[:, 0], torch.full((2,), 0.8 * 16 / 128))
    assert float(found.beside[:, 0].abs().max()) < 0.05 * float(found.fall[:, 0].min())
    assert torch.allclose(found.hidden, torch.full_like(pictures, 0.2)) and torch.equal(
        found.before, left_and_right(pictures)
    )


def test_a_score_that_rests_on_something_else_does_not_pass(pictures):
    masks = torch.zeros(2, 16, 16)
    masks[:, 10:14, 10:14] = 1
    assert not bool(check_pixels(left_and_right, pictures, masks).passes[:, 0].any())


def test_hiding_fills_with_the_rest_and_moving_keeps_the_area(pictures):
    masks = torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(away_from(masks).sum((1, 2)), masks.sum((1, 2)))
    even = torch.full((2, 3, 16, 16), 0.7)
    assert torch.allclose(hide(even, masks), even)


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        (torch.zeros(2, 16, 16), "picture 1 covers 0%"),
        (torch.ones(2, 16, 16), "covers 100%"),
        (torch.ones(1, 16, 16), "need a mask each"),
    ],
)
def test_masks_that_hide_nothing_all_or_others_are_refused(pictures, masks, said):
    with pytest.raises(ValueError, match=said):
        check_pixels(left_and_right, pictures, masks)


def test_a_mask_is_moved_to_where_it_overlaps_itself_least():
    """Of the quarter steps in both directions, written out."""
    masks = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(2))
    moved = away_from(masks)
    for mask, found in zip(masks, moved, strict=True):
        places = [mask.roll((4 * row, 4 * column), (0, 1)) for row in range(4) for column in range(4)][1:]
        overlaps = torch.stack([torch.minimum(place, mask).sum() for place in places])
        assert torch.equal(found, places[int(overlaps.argmin())])
