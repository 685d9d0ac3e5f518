"""Edit Concepts: the order of its changes, and empty fields."""

import pytest
import torch

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
    found, drawn, _ = call(LocalizeConcepts, **sockets, image=image).args
    same, masks = call(EditConcepts, concepts=found).args
    assert same.covered == (64, 96) and torch.equal(masks, drawn)
    given = call(ConceptsFromMasks, **sockets, image=image, masks=drawn[:1])[0]
    assert given.covered == (64, 96)


def test_the_text_tells_the_result(call, concepts):
    result = call(EditConcepts, concepts=concepts, drop="red", rename="green=leaf")
    (text,) = result.ui.as_dict()["text"]
    assert text.startswith("<leaf>: saliency") and "red" not in text


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
    ],
)
def test_changes_that_cannot_be_made(call, concepts, given, message):
    with pytest.raises(ValueError, match=message):
        call(EditConcepts, concepts=concepts, **given)
