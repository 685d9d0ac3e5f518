"""Score Composition: the picture itself scores best, exchanged regions leak, and what is refused."""

import json
from types import SimpleNamespace

import pytest
import torch

from concept_atelier.nodes import LoadLabClipVision, ScoreComposition


class RedAndGreen:
    """A CLIP_VISION that sees how much red and how much green a picture holds."""

    def encode_image(self, image, crop=True):
        red, green, blue = image.unbind(-1)
        seen = [(red - green.maximum(blue)).clamp(min=0), (green - red.maximum(blue)).clamp(min=0), red * 0 + 0.05]
        return SimpleNamespace(image_embeds=torch.stack([one.mean((1, 2)) for one in seen], 1))


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
    assert table.splitlines()[0] == "region,similarity,own,like red,like green,once,nowhere,more than once"
    assert table.splitlines()[1].endswith("1.0000,0.0000,0.0000")
    assert read["counts"] == [[1, 1], [1, 1]] and read["all_once"] == 1 and read["counted_by"] == "the lab's judge"
    assert sheet.shape[0] == 1 and "all in their own regions: 100%" in result.ui["text"][0]


def test_exchanged_regions_leak(score, masks):
    read = json.loads(score(regions=masks.flip(0))[2])
    assert read["exact"] == 0 and read["leaks"] == [[0.0, 1.0], [1.0, 0.0]]


def test_a_second_copy_outside_all_regions_shows(score, image):
    """A second red square stands beside the regions: everything is in its place, and red is there twice."""
    twice, regions = image * 0 + torch.tensor([0.0, 0.0, 0.6]), torch.zeros(2, 64, 96)
    for region, (top, left, colour) in enumerate(
        [(4, 4, (0.9, 0.1, 0.1)), (4, 76, (0.1, 0.8, 0.2)), (44, 40, (0.9, 0.1, 0.1))]
    ):
        twice[:, top : top + 16, left : left + 16] = torch.tensor(colour)
        if region < 2:
            regions[region, top : top + 16, left : left + 16] = 1
    result = score(pictures=twice, regions=regions, clip_vision=RedAndGreen())
    read = json.loads(result[2])
    assert read["counts"] == [[2], [1]] and read["exact"] == 1 and read["all_once"] == 0
    assert "more than once in 100% (up to 2 times)" in result.ui["text"][0] and "windows" in read["counted_by"]


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
