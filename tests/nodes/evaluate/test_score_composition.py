"""Score Composition: the picture itself scores best, exchanged regions leak, and what is refused."""

import csv
import json
import sys
from types import SimpleNamespace

import pytest
import torch

from concept_atelier.host.jobs.contact_sheet import contact_sheet
from concept_atelier.host.jobs.evaluate import composition_reports
from concept_atelier.nodes import LoadLabClipVision, LoadLabModel, ScoreComposition


class RedAndGreen:
    """A CLIP_VISION that sees how much red and how much green a picture holds."""

    def encode_image(self, image, crop=True):
        red, green, blue = image.unbind(-1)
        seen = [(red - green.maximum(blue)).clamp(min=0), (green - red.maximum(blue)).clamp(min=0), red * 0 + 0.05]
        return SimpleNamespace(image_embeds=torch.stack([one.mean((1, 2)) for one in seen], 1))


@pytest.fixture(scope="module")
def lab(call):
    """MODEL, CLIP and VAE of the lab model with its weights."""
    return call(LoadLabModel)


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
    head, first, _ = csv.reader(table.splitlines())
    assert head[:8] == ["region", "similarity", "own", "like red", "like green", "once", "nowhere", "more than once"]
    assert head[8:] == ["in red", "in green", "outside", "attribute", "own attribute"]
    assert first[5:8] == ["1.0000", "0.0000", "0.0000"] and float(first[8]) > 0.85 and first[9] == "0.0000"
    assert read["counts"] == [[1, 1], [1, 1]] and read["all_once"] == 1 and read["counted_by"] == "the lab's judge"
    assert (
        sheet.shape[0] == 1
        and "each once, mostly in its own region and with its attribute: 100%" in result.ui["text"][0]
    )


def test_exchanged_regions_leak(score, masks):
    read = json.loads(score(regions=masks.flip(0))[2])
    assert read["exact"] == 0 and read["nearest"] == [[0.0, 1.0], [1.0, 0.0]]
    assert [row[index] for index, row in enumerate(read["leak_matrix"])] == [0, 0]
    assert min(read["leak_matrix"][0][1], read["leak_matrix"][1][0]) > 0.75


def test_each_picture_of_a_batch_is_scored_by_its_own_regions(score, image, masks):
    """The second picture is mirrored. By its own regions it is as good as the first; by those of the first, each colour
    lies in the region of the other."""
    pictures = torch.cat([image, image.flip(2)])
    alone = json.loads(score(pictures=image)[2])
    own = json.loads(score(pictures=pictures, regions=torch.cat([masks, masks.flip(2)]))[2])
    assert own["exact"] == own["all_placed"] == 1
    assert own["outside"] == pytest.approx(alone["outside"], abs=0.03)
    shared = json.loads(score(pictures=pictures)[2])
    assert shared["exact"] == shared["all_placed"] == 0.5


def test_how_much_lies_outside_shows(score):
    """The left half of the red square is in no region: half of red lies outside; green is in its own region."""
    regions = torch.zeros(2, 64, 96)
    regions[0, :, 24:48] = 1
    regions[1, :, 48:] = 1
    result = score(regions=regions)
    read = json.loads(result[2])
    assert read["outside"] == pytest.approx([0.5, 0], abs=0.1) and read["leak_matrix"][1][1] > 0.95
    assert read["leak_matrix"][0] == pytest.approx([1 - read["outside"][0], 0], abs=0.001)
    assert read["similarity"][1] > 0.63, "the box around green is compared, not its half of the picture"
    assert len(read["each_share"][0]) == 2 and "outside all regions" in result.ui["text"][0]


def test_without_names_attributes_are_the_judges_colours(score):
    result = score()
    read = json.loads(result[2])["attributes"]
    assert read["judged_by"] == "the lab's judge" and read["own"] == read["in_sources"]
    assert [set(row) for row in read["seen"]] == [{own} for own in read["own"]] and set(read["right"]) == {1.0}
    assert "attributes: judged by the lab's judge" in result.ui["text"][0]


def test_another_encoder_says_that_attributes_are_not_judged(score):
    result = score(clip_vision=RedAndGreen())
    assert json.loads(result[2])["attributes"] is None
    assert "Attributes are not judged: write one for each concept into attributes" in result.ui["text"][0]


def test_attributes_in_words_are_judged(score, image, lab):
    """As drawn both are right; with the squares' colours exchanged both are wrong, and the node says what it sees."""
    named = {"attributes": "red\ngreen", "clip": lab[1]}
    read = json.loads(score(**named)[2])["attributes"]
    assert read["right"] == [1, 1] and read["in_sources"] == ["red", "green"] and "words" in read["judged_by"]
    result = score(pictures=image[..., [1, 0, 2]], **named)
    assert json.loads(result[2])["attributes"]["seen"] in ([["green"], ["red"]], [["green"], [None]])
    assert "Attribute: red in 0% of the pictures that show it (green in the others)" in result.ui["text"][0]


def test_concepts_of_other_pictures_and_a_style_are_scored(score, image, concepts, masks):
    """Red from the picture of both, green from a picture of its own, and the whole picture as a style."""
    alone = image.clone()
    alone[:, 8:40, 8:40] = torch.tensor([0.0, 0.0, 0.6])
    sources = torch.cat([alone, image])
    given = {
        "further_sources": sources,
        "source_masks": torch.stack([masks[1], torch.ones_like(masks[0])]),
        "source_names": "mine, style",
        "order": "<red>, mine, <4>",
        "regions": torch.cat([masks, torch.ones_like(masks[:1])]),
        "clip_vision": RedAndGreen(),
    }
    result = score(**given)
    read = json.loads(result[2])
    assert read["concepts"] == ["red", "mine", "style"] and read["styles"] == ["style"] and read["exact"] == 1
    assert read["similarity"] == pytest.approx([1, 1, 1], abs=0.05) and 0 not in read["counts"][0] + read["counts"][1]
    assert read["leak_matrix"][2] == [None, None, None] and read["leak_matrix"][0][1] == read["leak_matrix"][1][0] == 0
    assert "style: a style, without a place" in result.ui["text"][0]


def test_without_the_judge_windows_are_read(score, monkeypatch):
    """As in the published pack, which has no judge."""
    monkeypatch.setitem(sys.modules, "concept_atelier.lab.judge.counting", None)
    read = json.loads(score()[2])
    assert "windows" in read["counted_by"] and read["attributes"] is None


def squares(image):
    """A red and a green square of 16 pixels in a region each, and a second red square outside both."""
    twice, regions = image * 0 + torch.tensor([0.0, 0.0, 0.6]), torch.zeros(2, 64, 96)
    for region, (top, left, colour) in enumerate(
        [(4, 4, (0.9, 0.1, 0.1)), (4, 76, (0.1, 0.8, 0.2)), (44, 40, (0.9, 0.1, 0.1))]
    ):
        twice[:, top : top + 16, left : left + 16] = torch.tensor(colour)
        if region < 2:
            regions[region, top : top + 16, left : left + 16] = 1
    return twice, regions


def test_a_second_copy_outside_all_regions_shows(score, image):
    """Everything is in its place, and red is there twice; a part of red lies outside all regions, nothing of green."""
    twice, regions = squares(image)
    wider = torch.nn.functional.max_pool2d(regions[None], 9, stride=1, padding=4)[0]
    far = json.loads(score(pictures=twice, regions=wider, clip_vision=RedAndGreen())[2])
    assert far["outside"][0] > 0.1 and far["outside"][1] == 0 and far["leak_matrix"][0][1] == 0
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
        ({"regions": torch.ones(3, 8, 8)}, "2 concepts, 2 pictures and 3 regions.*with picture -1"),
        ({"regions": torch.zeros(2, 8, 8)}, "empty"),
        ({"pictures": torch.zeros(0, 8, 8, 3)}, "at least one picture"),
        ({"attributes": "red\ngreen"}, "connect the CLIP"),
        ({"attributes": "red", "clip": object()}, "1 lines for 2 concepts"),
        ({"attributes": "red\nnone", "clip": object()}, "two different attributes"),
        ({"source_names": "mine"}, "belong to further_sources"),
        ({"further_sources": torch.ones(1, 8, 8, 3), "source_names": "red"}, "another concept is called red"),
        ({"further_sources": torch.ones(1, 8, 8, 3), "source_masks": torch.ones(2, 8, 8)}, "2 source_masks for 1"),
        ({"further_sources": torch.ones(1, 8, 8, 3), "source_masks": torch.zeros(1, 8, 8)}, "mark where"),
        ({"order": "<blue>"}, "names 'blue'"),
        ({"order": "<red>, <1>"}, "twice"),
    ],
)
def test_what_cannot_be_scored_is_refused(score, given, message):
    with pytest.raises(ValueError, match=message):
        score(**given)


@pytest.mark.parametrize("exchanged", [False, True])
def test_the_sheet_says_which_concepts_are_misplaced(score, masks, monkeypatch, exchanged):
    captions = []

    def kept(rows):
        captions.extend(caption for row in rows for caption in row.captions)
        return contact_sheet(rows)

    monkeypatch.setattr(composition_reports, "contact_sheet", kept)
    score(regions=masks.flip(0) if exchanged else masks)
    assert len(captions) == 4 and all(("misplaced" in one.text) == one.wrong == exchanged for one in captions)
