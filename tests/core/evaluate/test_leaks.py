"""How much of each concept lies in each region: known shares."""

import pytest
import torch

from concept_atelier.core.evaluate.leaks import narrowed, shares_in_regions

LEFT = torch.zeros(8, 8)
LEFT[:, :4] = 1
TOP_RIGHT = torch.zeros(8, 8)
TOP_RIGHT[:4, 4:] = 1
REGIONS = torch.stack([LEFT, TOP_RIGHT])


def test_shares_of_cells_are_known():
    """Of 16 cells of one concept, 8 lie left, 4 in the top right and 4 in neither; the other concept lies left."""
    maps = torch.zeros(2, 1, 8, 8)
    maps[0, 0, 2:6, 2:6] = 3.0
    maps[1, 0, :, 0] = 0.5
    shares, outside = shares_in_regions(maps, REGIONS)
    assert shares.tolist() == [[[0.5, 0.25]], [[1.0, 0.0]]] and outside.tolist() == [[0.25], [0.0]]


def test_cells_may_be_coarser_than_regions():
    maps = torch.zeros(1, 1, 2, 2)
    maps[0, 0, 0] = 1
    shares, outside = shares_in_regions(maps, REGIONS)
    assert shares.tolist() == [[[0.5, 0.5]]] and outside.tolist() == [[0.0]]
    third = torch.zeros(1, 8, 8)
    third[:, :, :3] = 1  # three quarters of a cell
    assert shares_in_regions(maps, third)[0].tolist() == [[[0.375]]]


def test_each_picture_may_have_its_own_regions():
    maps = torch.zeros(1, 2, 8, 8)
    maps[..., 2:6, :4] = 1
    each = torch.stack([torch.stack([LEFT, 1 - LEFT]), torch.stack([TOP_RIGHT, LEFT])])  # (R, P, H, W)
    shares, outside = shares_in_regions(maps, each)
    assert shares.tolist() == [[[1.0, 0.0], [0.0, 1.0]]] and outside.tolist() == [[0.0, 0.0]]
    for picture in range(2):
        one = shares_in_regions(maps[:, [picture]], each[:, picture])
        assert torch.equal(one[0], shares[:, [picture]]) and torch.equal(one[1], outside[:, [picture]])
    with pytest.raises(ValueError, match="must be"):
        shares_in_regions(maps[:, :1], each)


def test_a_concept_that_is_not_found_has_no_shares():
    shares, outside = shares_in_regions(torch.zeros(1, 1, 4, 4), REGIONS)
    assert shares.isnan().all() and outside.isnan().all()


def test_shares_of_regions_that_cover_the_picture_add_up_to_one(generator):
    maps = torch.rand(3, 2, 5, 7, generator=generator)
    shares, outside = shares_in_regions(maps, torch.stack([LEFT, 1 - LEFT]))
    torch.testing.assert_close(shares.sum(2), torch.ones(3, 2))
    torch.testing.assert_close(outside, torch.zeros(3, 2), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("maps", "message"), [(torch.ones(2, 4, 4), "must be"), (-torch.ones(1, 1, 4, 4), "negative values")]
)
def test_other_maps_are_refused(maps, message):
    with pytest.raises(ValueError, match=message):
        shares_in_regions(maps, REGIONS)


def test_a_region_is_cut_down_to_the_box_around_what_it_shows():
    """The left half of the first picture shows two concepts, of the second one that reaches beyond it, and of the third
    nothing."""
    maps = torch.zeros(2, 3, 8, 8)
    maps[0, 0, 1, 1], maps[1, 0, 4, 2] = 0.1, 1
    maps[0, 1, 6, 2:7] = 1
    maps[0, 2, 0, 5] = 1
    found = narrowed(LEFT, maps)
    wanted = torch.zeros(3, 8, 8)
    wanted[0, 1:5, 1:3] = 1
    wanted[1, 6, 2:4] = 1
    wanted[2] = LEFT
    assert torch.equal(found, wanted)
    other = torch.stack([LEFT, 1 - LEFT, LEFT])
    each = narrowed(other, maps)
    assert torch.equal(each[[0, 2]], wanted[[0, 2]]) and each[1].nonzero().tolist() == [[6, 4], [6, 5], [6, 6]]
