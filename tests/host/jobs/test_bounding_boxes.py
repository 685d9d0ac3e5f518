"""Boxes to ComfyUI's elements and back."""

import pytest
import torch

from concept_atelier.core.masks.boxes import box_mask
from concept_atelier.host.jobs.bounding_boxes import boxes_of, elements_of


def test_elements_come_back_as_the_boxes_they_were():
    boxes = [(0.0, 0.25, 0.5, 1.0), (0.1, 0.2, 0.3, 0.4)]
    elements = elements_of([box_mask(box, 64) for box in boxes], ["a cat", "<1>"], 1000, 500)
    assert [one["metadata"]["desc"] for one in elements[0]] == ["a cat", "<1>"]
    assert {side: elements[0][1][side] for side in ("x", "y", "width", "height")} == {
        "x": 100, "y": 100, "width": 200, "height": 100,
    }  # fmt: skip
    for box, found in zip(boxes, boxes_of(elements, 1000, 500), strict=True):
        assert found == pytest.approx(box, abs=1e-3)


def test_a_mask_of_nothing_has_no_element():
    found = elements_of([torch.zeros(8, 8), torch.ones(8, 8)], ["nothing", "all"], 64, 32)
    assert [one["metadata"]["desc"] for one in found[0]] == ["all"]


def test_one_element_a_list_and_lists_for_pictures_are_read():
    one = {"x": 0, "y": 0, "width": 32, "height": 16}
    for given in (one, [one], [[one], []]):
        assert boxes_of(given, 64, 64) == [(0, 0, 0.5, 0.25)]
    assert boxes_of([[]], 64, 64) == [] == boxes_of([], 64, 64)


@pytest.mark.parametrize("side", ["x", "y", "width", "height"])
def test_a_box_with_a_side_that_is_no_number_is_refused(side):
    given = {"x": 0, "y": 0, "width": 32, "height": 16} | {side: float("nan")}
    with pytest.raises(ValueError, match="does not lie in a picture of 64x64"):
        boxes_of(given, 64, 64)
