"""Maps against masks whose agreement is known."""

import pytest
import torch

from concept_atelier.core.explain.map_grade import grade_map


def known(*rows):
    """Masks (P, 8, 8) of the left columns, as many as asked for in each picture."""
    masks = torch.zeros(len(rows), 8, 8, dtype=torch.bool)
    for picture, count in enumerate(rows):
        masks[picture, :, :count] = True
    return masks


def test_maps_that_are_the_masks_are_perfect():
    masks = known(2, 4, 0)
    found = grade_map(masks.float(), masks)
    assert (found.pointing, found.inside, found.iou, found.existence) == (1, 1, 1, 1)
    assert found.area == pytest.approx(0.375)


def test_maps_without_knowledge_keep_inside_what_the_mask_covers():
    found = grade_map(torch.full((2, 8, 8), 0.5), known(2, 2))
    assert found.inside == pytest.approx(0.25) == found.area and found.existence is None
    assert found.iou == pytest.approx(0.25)


def test_a_map_that_lies_elsewhere_points_beside():
    maps = torch.zeros(2, 8, 8)
    maps[0, :, 6:], maps[1, :, :] = 1.0, 0.2
    found = grade_map(maps, known(2, 0))
    assert (found.pointing, found.inside, found.existence) == (0, 0, 1) and found.iou == 0


def test_masks_that_say_nothing_are_refused():
    with pytest.raises(ValueError, match="no mask covers anything"):
        grade_map(torch.ones(1, 8, 8), known(0))
    with pytest.raises(ValueError, match="must be alike"):
        grade_map(torch.ones(1, 4, 4), known(2))
