"""Boxes that language models write, in every notation that is known."""

import pytest

from concept_atelier.host.jobs.recognise.boxes_in_text import UNITS, answers_of, boxes_in, read_box

SIZE = (400, 500)
"""Height and width."""


def boxes(text, units="automatic", order="automatic", size=SIZE):
    return [(one.name, tuple(round(side, 3) for side in one.box)) for one in (
        read_box(box, size, units, order) for box in boxes_in(text)
    )]  # fmt: skip


HALF = (0.2, 0.25, 0.4, 0.75)
"""100, 100, 200, 300 in pixels."""


@pytest.mark.parametrize(
    "text",
    [
        "[100, 100, 200, 300]",
        "100, 100, 200, 300",
        "The dog is at [100,100,200,300].",
        "It lies at (100, 100, 200, 300), I think [1].",
        "(100,100),(200,300)",
        "[[100, 100], [200, 300]]",
        "[0.2, 0.25, 0.4, 0.75]",
        '{"bbox": [0.2, 0.25, 0.4, 0.75]}',
        '{"x1": 100, "y1": 100, "x2": 200, "y2": 300}',
        '{"x": 100, "y": 100, "width": 100, "height": 200}',
        "<box>(200,250),(400,750)</box>",
        "<box>200 250 400 750</box>",
        "<|box_start|>(200,250),(400,750)<|box_end|>",
        '```json\n[{"box_2d": [250, 200, 750, 400]}]\n```',
        '{"bbox_2d": "100, 100, 200, 300"}',
    ],
)
def test_one_box_is_read_in_every_notation(text):
    assert boxes(text) == [("", HALF)]


def test_names_stay_with_their_boxes():
    qwen = '[{"bbox_2d": [100, 100, 200, 300], "label": "dog"}, {"bbox_2d": [0, 0, 50, 40], "label": "cat"}]'
    assert boxes(qwen) == [("dog", HALF), ("cat", (0, 0, 0.1, 0.1))]
    tags = "<ref>my dog</ref><box>(200,250),(400,750)</box> and <ref>a cat</ref><box>(0,0),(100,100)</box>"
    assert boxes(tags) == [("my dog", HALF), ("a cat", (0, 0, 0.1, 0.1))]
    assert boxes('{"dog": [100, 100, 200, 300], "cats": [[0, 0, 50, 40], [0, 0, 100, 80]]}') == [
        ("dog", HALF), ("cats", (0, 0, 0.1, 0.1)), ("cats", (0, 0, 0.2, 0.2)),
    ]  # fmt: skip


def test_numbers_beyond_the_picture_are_thousandths_and_choices_overrule():
    assert boxes("[200, 250, 400, 750]") == [("", HALF)]
    assert boxes("[200, 250, 400, 300]", units="0 to 1000") == [("", (0.2, 0.25, 0.4, 0.3))]
    assert boxes("[100, 100, 100, 200]", order="left, top, width, height") == [("", HALF)]
    assert boxes("[100, 100, 300, 200]", order="top, left, bottom, right") == [("", HALF)]
    assert boxes("[0, 0, 1200, 900]", size=(900, 1200)) == [("", (0, 0, 1, 1))]
    assert boxes("[0, 0, 505, 401]") == [("", (0, 0, 1, 1))]  # a model that rounds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("I see no dog.", "no box was found in 'I see no dog.'"),
        ("", "no box was found"),
        ("<box>(1,2)</box>", "four finite numbers"),
        ('{"bbox_2d": [1, 2, 3]}', "four numbers"),
        ("[200, 100, 100, 300]", "has no area"),
        ("[2000, 100, 3000, 300]", "does not lie in the picture of 500x400"),
    ],
)
def test_what_is_no_box_is_named(text, said):
    with pytest.raises(ValueError, match=said):
        boxes(text)


def test_an_empty_list_is_an_answer_and_answers_are_counted():
    assert boxes_in("[]") == [] == boxes_in("```json\n[]\n```")
    assert answers_of("[1, 2, 3, 4]\n\n[]", 2) == ["[1, 2, 3, 4]", "[]"]
    assert [one.strip() for one in answers_of("[\n1\n]\n---\n[]", 2)] == ["[\n1\n]", "[]"]
    assert answers_of("a\nb", 1) == ["a\nb"]
    with pytest.raises(ValueError, match="3 pictures and 2 answers"):
        answers_of("a\nb", 3)


def test_unknown_choices_and_deep_nests_are_refused():
    assert "pixels" in UNITS
    with pytest.raises(ValueError, match="units one of"):
        boxes("[1, 1, 2, 2]", units="inches")
    with pytest.raises(ValueError, match="no box was found"):
        boxes("[" * 2000 + "]" * 2000)
