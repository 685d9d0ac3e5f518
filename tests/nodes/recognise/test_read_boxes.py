"""Boxes of a language model become masks, boxes for other nodes, and examples of a subject."""

import pytest
import torch

from concept_atelier.host.jobs.bounding_boxes import boxes_of
from concept_atelier.lab.model.vision import load_vision
from concept_atelier.nodes import FindMySubject, ReadBoxes

SIZE = (64, 128)


@pytest.fixture
def pictures():
    return torch.full((2, *SIZE, 3), 0.4)


def test_masks_and_boxes_lie_where_the_text_says(call, pictures):
    text = '[{"bbox_2d": [32, 16, 64, 48], "label": "dog"}, {"bbox_2d": [0, 0, 8, 8], "label": "cat"}]\n[]'
    boxes, masks, overlay, report = call(ReadBoxes, text=text, pictures=pictures, by="Dog")
    expected = torch.zeros(2, *SIZE)
    expected[0, 16:48, 32:64] = 1
    assert torch.equal(masks, expected) and boxes_of(boxes, 128, 64) == [(0.25, 0.25, 0.5, 0.75)]
    assert boxes[1] == [] and len(overlay) == 2 and "picture 1: dog 25%, 25%, 50%, 75% (read as pixels)" in report
    assert (
        call(ReadBoxes, text=text, pictures=pictures, names="a.png\nb.png")[3].splitlines()[0].startswith("a.png: dog")
    )


def test_the_size_that_the_model_saw_counts(call, pictures):
    _, masks, *_ = call(ReadBoxes, text="[32, 16, 64, 48]", pictures=pictures[:1], width=256, height=128)
    assert masks[0].nonzero().amin(0).tolist() == [8, 16] and float(masks.sum()) == 16 * 16


@pytest.mark.parametrize(
    ("how", "sides"),
    [
        ({}, (0.25, 0.25, 0.5, 0.75)),  # pixels of a picture of 128 by 64, the left first
        ({"units": "0 to 1000"}, (0.032, 0.016, 0.064, 0.048)),
        ({"order": "top, left, bottom, right"}, (0.125, 0.5, 0.375, 1)),
        ({"order": "left, top, width, height"}, (0.25, 0.25, 0.75, 1)),
    ],
)
def test_units_and_order_say_what_numbers_mean(call, pictures, how, sides):
    boxes = call(ReadBoxes, text="[32, 16, 64, 48]", pictures=pictures[:1], **how)[0]
    assert boxes_of(boxes, 128, 64)[0] == pytest.approx(sides, abs=0.5 / 64)  # half a pixel


def test_what_is_not_there_is_said(call, pictures):
    with pytest.raises(ValueError, match="no box is named 'bird'; names are dog"):
        call(ReadBoxes, text='{"dog": [1, 1, 9, 9]}', pictures=pictures[:1], by="bird")
    with pytest.raises(ValueError, match="names no box in any picture"):
        call(ReadBoxes, text="[]", pictures=pictures[:1])


def test_find_my_subject_takes_the_masks(call):
    pictures = torch.full((3, 64, 64, 3), 0.3)
    for number, (top, left) in enumerate([(4, 4), (30, 20), (8, 36)]):
        pictures[number, top : top + 24, left : left + 24] = torch.tensor([0.9, 0.2, 0.1])
    masks = call(ReadBoxes, text="[4, 4, 28, 28]\n[20, 30, 44, 54]", pictures=pictures[:2])[1]
    given = {"pictures": pictures, "examples": pictures[:2], "masks": masks, "clip_vision": load_vision()}
    found = call(FindMySubject, **given, site="all", crop_size=32)[0]
    assert float(found[2, 8:32, 36:60].mean()) > 0.7
