"""Compare Words: a sheet, maps, a table, and what is refused."""

import csv
import io

import pytest
import torch

from concept_atelier.nodes import CompareWords

PICTURE = torch.rand(2, 64, 48, 3, generator=torch.Generator().manual_seed(4))
MASKS = torch.zeros(2, 64, 48)
MASKS[0, :32], MASKS[1, :, :24] = 1, 1


@pytest.fixture
def compare(call, sockets):
    def compare_(parts=sockets, **given):
        values = {"image": PICTURE, "text": "a cat and a rocket", "words": "cat, rocket", "levels": 2, "draws": 1}
        return call(CompareWords, **parts, **(values | {"seed": 1} | given))

    return compare_


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_sheet_and_all_maps_word_by_word(compare):
    sheet, maps, table = compare()
    assert len(sheet) == 1 and sheet.shape[-1] == 3
    assert maps.shape == (6, 64, 48) and float(maps.min()) >= 0 and float(maps.max()) <= 1
    assert [(row["word"], row["map"]) for row in rows(table)] == [
        (word, kind) for word in ("cat", "rocket") for kind in ("attention", "information", "both")
    ]
    assert all(row["iou"] == "" for row in rows(table))
    assert torch.equal(compare(words="rocket, rocket")[1][0], maps[3])
    assert torch.equal(compare()[1], maps)


def test_masks_say_how_each_map_fits(compare):
    output = compare(masks=MASKS)
    found = [float(row["iou"]) for row in rows(output[2])]
    assert all(0 <= iou <= 1 for iou in found)
    assert [float(row["iou"]) for row in rows(compare(masks=MASKS[:1])[2])][:3] == found[:3]
    assert "IoU of attention" in output.ui["text"][0] and "no concept heat maps" in output.ui["text"][0]
    assert not torch.equal(output[0], compare()[0])
    assert "stretched" in compare(masks=MASKS.transpose(1, 2)).ui["text"][0]


def test_a_transformer_shows_concepts_too(compare, transformer):
    output = compare(transformer, text="a cat and a rocket", words="cat")
    assert [row["map"] for row in rows(output[2])] == ["attention", "information", "both", "concepts"]
    assert len(output[1]) == 4 and "no concept" not in output.ui["text"][0]
    assert not torch.equal(output[1], compare(transformer, words="cat", blocks="0")[1])


def test_a_learnt_token_is_a_word(compare, tokens):
    assert compare(text="a photo of <red> and <green>", words="<red>", tokens=tokens)[1].shape == (3, 64, 48)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"words": ""}, "at least one word"),
        ({"words": "whale"}, "'whale' is not in the text"),
        ({"masks": torch.zeros(3, 8, 8)}, "2 words and 3 masks"),
        ({"text": "<7>", "words": "<7>"}, "names <7>"),
    ],
)
def test_what_cannot_be_compared_is_refused(compare, given, message):
    with pytest.raises(ValueError, match=message):
        compare(**given)


def test_empty_words_are_said_before_anything_runs():
    assert "words is empty" in CompareWords.validate_inputs(words=" , ")
    assert CompareWords.validate_inputs(words=None) is True
