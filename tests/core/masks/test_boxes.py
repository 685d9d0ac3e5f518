"""Boxes and masks: one comes back out of the other."""

import pytest
import torch

from concept_atelier.core.masks.boxes import box_mask, mask_box


@pytest.mark.parametrize(
    "box", [(0, 0, 1, 1), (0.25, 0, 0.5, 1), (0.1, 0.23, 0.87, 0.601), (0.333, 0.4, 0.52, 0.9), (0, 0.013, 0.05, 0.99)]
)
def test_the_box_of_a_mask_of_a_box_is_that_box(box):
    mask = box_mask(box, 64)
    assert mask.shape == (64, 64) and float(mask.sum()) == pytest.approx(
        64 * 64 * (box[2] - box[0]) * (box[3] - box[1]), rel=1e-4
    )
    assert mask_box(mask) == pytest.approx(box, abs=1e-4)


def test_the_box_of_a_hard_mask_reaches_from_its_first_to_its_last_cell():
    mask = torch.zeros(4, 10)
    mask[1, 2] = mask[2, 6] = 1
    assert mask_box(mask) == pytest.approx((0.2, 0.25, 0.7, 0.75))


def test_what_covers_nothing_has_no_box():
    assert mask_box(torch.zeros(5, 5)) is None
    assert mask_box(torch.full((5, 5), 0.4)) is None
