"""The guided filter, and masks that follow a picture's edges."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.masks.guided import box_mean, guided_filter, guided_masks, pixel_masks
from concept_atelier.core.masks.upsample import mask_shares, smooth_masks, winners


def noise(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def two_colours(edge, size=(32, 48)):
    """(1, 3, H, W): red left of a column, blue from it on."""
    picture = torch.zeros(1, 3, *size)
    picture[:, 0, :, :edge], picture[:, 2, :, edge:] = 1, 1
    return picture


def left(columns, grid=(4, 6)):
    masks = torch.zeros(1, *grid, dtype=torch.bool)
    masks[:, :, :columns] = True
    return masks


def test_box_means_are_those_of_average_pooling():
    maps = noise(2, 9, 13).double()
    padded = torch.nn.functional.pad(maps[None], (3, 3, 3, 3), mode="replicate")
    assert torch.allclose(box_mean(maps, 3), torch.nn.functional.avg_pool2d(padded, 7, 1)[0])


def test_a_map_that_is_linear_in_the_colours_stays_as_it_is():
    guide = noise(3, 20, 24)
    linear = 0.2 + torch.einsum("c,cyx->yx", torch.tensor([0.5, -0.3, 0.4]), guide)
    assert torch.allclose(guided_filter(guide, linear[None], 4, 1e-9)[0], linear, atol=1e-5)


def test_an_even_picture_leaves_plain_smoothing():
    maps = noise(2, 20, 24)
    twice = box_mean(box_mean(maps.double(), 3), 3).float()
    assert torch.allclose(guided_filter(torch.full((3, 20, 24), 0.3), maps, 3, 1e-4), twice, atol=1e-6)


def test_shares_still_sum_to_one():
    shares = noise(4, 16, 16).softmax(0)
    filtered = guided_filter(noise(3, 16, 16), shares, 2, 1e-3)
    assert torch.allclose(filtered.sum(0), torch.ones(16, 16), atol=1e-5)


@pytest.mark.parametrize("edge", [21, 24, 27])
def test_an_outline_moves_to_the_edge_of_the_picture(edge):
    """The mask ends at column 24 of the grid's making, the picture's edge is a few pixels off."""
    found = guided_masks(left(3), two_colours(edge))[0]
    assert found[:, :edge].all() and not found[:, edge:].any()
    assert smooth_masks(left(3), (32, 48))[0, 0].sum() == 24


def test_masks_stay_disjoint_and_fit_the_picture(three_concepts):
    masks = guided_masks(three_concepts.masks, noise(1, 3, 64, 96), covered=(64, 88))
    assert masks.shape == (len(three_concepts), 64, 96) and masks.dtype == torch.bool
    assert (masks.sum(0) <= 1).all()


def test_no_mask_vanishes():
    """A single cell in noise would lose everywhere."""
    masks = torch.zeros(2, 8, 12, dtype=torch.bool)
    masks[0, 3, 3], masks[1, :, 6:] = True, True
    found = guided_masks(masks, noise(1, 3, 64, 96), reach=4)
    shares = mask_shares(masks, (64, 96))
    assert not winners(guided_filter(noise(1, 3, 64, 96)[0], shares, 32, 1e-5))[0].any()
    assert torch.equal(found[0], smooth_masks(masks, (64, 96))[0]) and (found.sum(0) <= 1).all()


def test_concepts_choose_their_outline(three_concepts):
    picture = noise(1, 3, *three_concepts.picture_size)
    edges = replace(three_concepts, outline="edges")
    smooth = smooth_masks(edges.masks, edges.picture_size, edges.covered)
    assert torch.equal(pixel_masks(three_concepts, picture), smooth)
    assert torch.equal(pixel_masks(edges), smooth)
    assert torch.equal(pixel_masks(edges, picture), guided_masks(edges.masks, picture, edges.covered))
    assert not torch.equal(pixel_masks(edges, picture), smooth)


def test_nothing_given_is_changed(three_concepts):
    picture = noise(1, 3, *three_concepts.picture_size)
    before = picture.clone(), three_concepts.masks.clone()
    guided_masks(three_concepts.masks, picture)
    assert torch.equal(picture, before[0]) and torch.equal(three_concepts.masks, before[1])


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="one RGB picture"):
        guided_masks(left(3), torch.zeros(3, 32, 48))
    with pytest.raises(ValueError, match="reach and eps must be above 0, got 0 and"):
        guided_masks(left(3), torch.zeros(1, 3, 32, 48), reach=0)
