"""Concepts alone on a plain ground."""

import pytest
import torch

from concept_atelier.core.evaluate.sources import GROUNDS, masked_source


@pytest.fixture
def picture():
    return torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def mask():
    mask = torch.zeros(12, 16)
    mask[2:6, 5:15] = 1
    return mask


@pytest.mark.parametrize("ground", GROUNDS)
def test_inside_the_picture_outside_the_ground(picture, mask, ground):
    before = picture.clone()
    alone = masked_source(picture, mask, ground)
    assert torch.allclose(alone[..., 2:6, 5:15], picture[..., 2:6, 5:15])
    assert (alone[..., mask == 0] == GROUNDS[ground]).all()
    assert picture.equal(before)


def test_soft_masks_blend_and_bool_masks_are_taken(picture, mask):
    assert torch.allclose(masked_source(picture, mask * 0.75, "black"), picture * mask * 0.75)
    assert masked_source(picture, mask.bool()).equal(masked_source(picture, mask))


def test_cropped_it_is_the_square_around_the_concept(picture, mask):
    cut = masked_source(picture, mask, "grey", crop=True)
    assert cut.shape == (1, 3, 12, 12)  # the box is 10 wide, and a tenth of it is left on each side
    # Rows 2..6 have their middle at 4, so that the square is rows -2..10 and columns 4..16.
    assert torch.allclose(cut[..., 4:8, 1:11], picture[..., 2:6, 5:15])
    cut[..., 4:8, 1:11] = 0.5
    assert (cut == 0.5).all()


def test_a_crop_is_the_same_wherever_the_concept_is(picture):
    large, moved = torch.rand(1, 3, 40, 40), torch.zeros(1, 3, 40, 40)
    moved[..., 10:, 10:] = large[..., :30, :30]
    one, other = torch.zeros(40, 40), torch.zeros(40, 40)
    one[:9, 3:8], other[10:19, 13:18] = 1, 1
    assert masked_source(large, one, crop=True).equal(masked_source(moved, other, crop=True))


@pytest.mark.parametrize(
    ("mask", "ground", "message"),
    [
        (torch.ones(12, 12), "white", "does not fit"),
        (torch.zeros(12, 16), "white", "mask is empty"),
        (torch.ones(12, 16), "pink", "one of black, grey, white, got 'pink'"),
    ],
)
def test_what_has_no_source(picture, mask, ground, message):
    with pytest.raises(ValueError, match=message):
        masked_source(picture, mask, ground)
