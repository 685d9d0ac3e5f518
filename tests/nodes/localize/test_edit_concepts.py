"""Edit Concepts: the order of its changes, and empty fields."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from concept_atelier.host.pictures.drawing import DIMMED
from concept_atelier.host.pictures.region_view import KEY
from concept_atelier.nodes import ConceptsFromMasks, EditConcepts, LocalizeConcepts


def test_what_is_left_empty_changes_nothing(call, concepts):
    same, masks = call(EditConcepts, concepts=concepts).args
    assert same.names == ("red", "green") and torch.equal(same.masks, concepts.masks)
    assert masks.shape == (2, 64, 96)


def test_changes_are_made_in_the_order_of_the_inputs(call, concepts):
    given = {"keep": "green, red", "merge": "green+red", "rename": "green=both", "grow": 1, "add_background": True}
    edited, masks = call(EditConcepts, concepts=concepts, **given).args
    assert edited.names == ("both", "background")
    assert torch.equal(edited.masks[0] & concepts.masks.any(0), concepts.masks.any(0))
    assert edited.masks[0].sum() > concepts.masks.sum()
    assert not edited.masks.all(0).any() and edited.masks.any(0).all()
    assert masks.shape == (2, 64, 96)
    assert concepts.names == ("red", "green")


def test_masks_lie_where_the_localiser_drew_them_when_the_model_crops_the_picture(call, sockets):
    image = torch.rand(1, 70, 100, 3, generator=torch.Generator().manual_seed(0))
    image[:, 20:50, 30:70] = torch.tensor([1.0, 0.0, 0.0])
    found, drawn, *_ = call(LocalizeConcepts, **sockets, image=image).args
    same, masks = call(EditConcepts, concepts=found, image=image).args
    assert same.covered == (64, 96) and torch.equal(masks, drawn)
    given = call(ConceptsFromMasks, **sockets, image=image, masks=drawn[:1])[0]
    assert given.covered == (64, 96)


def test_the_text_says_the_result(call, concepts):
    result = call(EditConcepts, concepts=concepts, drop="red", rename="green=leaf")
    (text,) = result.ui["text"]
    assert text.startswith("<leaf>: saliency") and "red" not in text


def test_what_is_dropped_may_still_be_named(call, concepts):
    edited, _ = call(EditConcepts, concepts=concepts, drop="red", merge="red+green", rename="red=cat, green=leaf").args
    assert edited.names == ("leaf",)


def test_the_page_is_sent_all_that_came_in_and_a_picture_of_what_goes_out(call, concepts, image, here):
    result = call(EditConcepts, concepts=concepts, drop="red", rename="green=leaf", image=image)
    (regions,) = result.ui[KEY]
    assert [concept["name"] for concept in regions["concepts"]] == ["red", "green"]
    assert json.loads(json.dumps(regions)) == regions
    picture, labels = (np.asarray(Image.open(here.temp / regions[name]["filename"])) for name in ("picture", "labels"))
    assert picture.shape == labels.shape == (64, 96, 3) and regions["size"] == [96, 64]
    assert np.array_equal(picture, np.floor(np.float32(image[0]) * 255))
    assert labels[20, 20].tolist() == [1, 0, 0] and labels[40, 70].tolist() == [2, 0, 0] and not labels[60, 10].any()
    (shown,) = result.ui["images"]
    overlay = np.asarray(Image.open(here.temp / shown["filename"])).astype(int)
    scale = len(overlay) // 64
    dimmed = abs(overlay - DIMMED * picture.repeat(scale, 0).repeat(scale, 1)).max(-1) <= 1.5
    assert dimmed[: 40 * scale, : 40 * scale].all() and not dimmed[26 * scale, 58 * scale]


def test_without_a_picture_regions_lie_on_grey(call, concepts, here):
    (regions,) = call(EditConcepts, concepts=concepts).ui[KEY]
    grey = np.asarray(Image.open(here.temp / regions["picture"]["filename"]))
    assert grey.min() == grey.max() == 127


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"drop": "red, green"}, "leave no concept"),
        ({"keep": "blue"}, "no concept is called blue; there are"),
        ({"merge": "red+green, green+red"}, "mentioned twice"),
        ({"rename": "red"}, "old=new"),
        ({"rename": "red=../up"}, "cannot name a concept"),
        ({"rename": "red=green"}, "names must differ"),
        ({"grow": -20}, "nothing of"),
        ({"image": torch.zeros(1, 96, 64, 3)}, "64x96 pixels, the concepts were found in one of 96x64"),
    ],
)
def test_changes_that_cannot_be_made(call, concepts, given, message):
    with pytest.raises(ValueError, match=message):
        call(EditConcepts, concepts=concepts, **given)
