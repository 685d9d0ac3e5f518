"""Score Composition: the picture itself scores best, exchanged regions leak, and what is refused."""

import json

import pytest
import torch

from concept_atelier.nodes import LoadLabClipVision, ScoreComposition


@pytest.fixture
def score(call, image, concepts, masks):
    vision = call(LoadLabClipVision)[0]

    def go(**changes):
        given = {"clip_vision": vision, "pictures": image.repeat(2, 1, 1, 1), "regions": masks, "image": image}
        return call(ScoreComposition, **(given | {"concepts": concepts, "filename_prefix": ""} | changes))

    return go


def test_the_picture_itself_is_exact(score):
    result = score()
    sheet, table, body = result.args
    read = json.loads(body)
    assert read["exact"] == 1 and read["similarity"] == pytest.approx([1, 1], abs=0.02)
    assert table.splitlines()[0] == "region,similarity,own,like red,like green"
    assert sheet.shape[0] == 1 and "all in their own regions: 100%" in result.ui["text"][0]


def test_exchanged_regions_leak(score, masks):
    read = json.loads(score(regions=masks.flip(0))[2])
    assert read["exact"] == 0 and read["leaks"] == [[0.0, 1.0], [1.0, 0.0]]


def test_files_are_written(score, files_below):
    score(filename_prefix="scores/mine")
    assert files_below() == [f"out/scores/mine_00001_.{ending}" for ending in ("csv", "json")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"regions": torch.ones(3, 8, 8)}, "2 concepts and 3 regions"),
        ({"regions": torch.zeros(2, 8, 8)}, "empty"),
        ({"pictures": torch.zeros(0, 8, 8, 3)}, "at least one picture"),
    ],
)
def test_what_cannot_be_scored_is_refused(score, given, message):
    with pytest.raises(ValueError, match=message):
        score(**given)
