import pytest
import torch

from concept_atelier.bench.explain.places import GRID, THRESHOLDS, coarse, iou, joined


@pytest.fixture
def masks():
    """Two pictures: a square of 16 by 16 cells at another place in each."""
    given = torch.zeros(2, *GRID, dtype=torch.bool)
    given[0, 4:20, 8:24] = given[1, 10:26, 2:18] = True
    return given


def test_maps_that_are_the_masks_fit_them_and_shifted_ones_by_what_they_share(masks):
    """A square that is moved by 4 of its 16 cells shares 12 columns of 20."""
    maps = torch.stack([masks, masks.roll(4, 2)], 1).float()
    fit = iou(maps, masks)
    assert fit.shape == (2, len(THRESHOLDS))
    torch.testing.assert_close(fit.float(), torch.tensor([1.0, 12 / 20])[:, None].expand_as(fit))
    of_one = iou(torch.cat([maps[:1, :1], 0 * maps[1:, :1]]), masks)
    torch.testing.assert_close(of_one, torch.full_like(of_one, 0.5))  # nothing in the second picture


def test_only_values_above_a_threshold_count(masks):
    fit = iou(0.55 * masks[:, None].float(), masks)[0]
    assert fit.tolist() == [float(threshold < 0.55) for threshold in THRESHOLDS]


def test_halves_of_a_mask_are_joined_and_what_adds_nothing_is_not(masks):
    upper = masks.float()
    upper[0, 12:], upper[1, 18:] = 0, 0
    lower = masks.float() - upper
    beside = torch.rand(2, *GRID, generator=torch.Generator().manual_seed(0))
    chosen, level = joined(torch.stack([beside, 0.45 * upper, 0.45 * lower], 1), masks)
    assert sorted(chosen) == [1, 2] and THRESHOLDS[level] < 0.45
    assert joined(torch.stack([upper, masks.float()], 1), masks)[0] == [1]


def test_a_cell_belongs_to_a_mask_that_covers_half_of_it():
    fine = torch.zeros(1, 128, 128)
    fine[0, :8, :6] = 1  # two rows of cells, one and a half columns
    fine[0, 8:12, :5] = 1
    expected = torch.zeros(1, *GRID, dtype=torch.bool)
    expected[0, :2, :2], expected[0, 2, 0] = True, True
    assert torch.equal(coarse(fine), expected)
