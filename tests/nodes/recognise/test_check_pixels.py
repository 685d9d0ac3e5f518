"""Scores rest on the pixels of what they are of, over the lab's own encoders."""

import pytest
import torch

from concept_atelier.lab.model.handles import load_handles
from concept_atelier.lab.model.vision import load_vision
from concept_atelier.nodes import CheckPixels, LearnPrototypes, PairEncoders, RecordActivations, TrainConceptHead


@pytest.fixture(scope="module")
def pair():
    return {"clip_vision": load_vision(), "clip": load_handles()[1]}


def squares(colour, places, background=0.3):
    pictures, masks = torch.full((len(places), 64, 64, 3), background), torch.zeros(len(places), 64, 64)
    for number, (top, left) in enumerate(places):
        pictures[number, top : top + 24, left : left + 24] = torch.tensor(colour)
        masks[number, top : top + 24, left : left + 24] = 1
    return pictures, masks


PLACES = [(4, 4), (30, 20), (8, 36), (36, 6)]


def test_a_subject_rests_on_its_region_and_not_on_another(call, pair):
    pictures, masks = squares((0.9, 0.2, 0.1), PLACES)
    recorded = call(RecordActivations, pictures=pictures, clip_vision=pair["clip_vision"], site="all")[0]
    bank = call(LearnPrototypes, activations=recorded, masks=masks, name="square")[0]
    given = {"pictures": pictures, "clip_vision": pair["clip_vision"], "bank": bank}
    scores, sheet, report = call(CheckPixels, **given, masks=masks)
    assert report.startswith("In 4 of 4 pictures") and float(scores.values.min()) > 0 and sheet.shape[0] == 1
    corner = torch.zeros(1, 64, 64)
    corner[:, 56:, 56:] = 1
    assert not call(CheckPixels, **given, masks=corner)[2].startswith("In 4 of 4")


def test_heads_and_classes_are_checked(call, pair):
    red, masks = squares((0.9, 0.1, 0.1), PLACES)
    blue, _ = squares((0.1, 0.2, 0.9), PLACES)
    head = call(TrainConceptHead, pictures=red, disliked=blue, **pair, words="red, blue, green, cat", permutations=0)[0]
    vision = {"clip_vision": pair["clip_vision"], "masks": masks}
    assert "picture 4, liked:" in call(CheckPixels, pictures=red, **vision, head=head, by="liked")[2]
    said = call(CheckPixels, pictures=red, **vision, clip=pair["clip"], classes="red\nblue", by="red")[2]
    assert "picture 1, red:" in said
    named = call(CheckPixels, pictures=red, **vision, head=head, by="liked", names="a\nb\nc\nd")
    assert "d, liked:" in named[2] and named[0].pictures == ("a", "b", "c", "d")


def test_one_thing_is_checked_at_a_time(call, pair):
    pictures, masks = squares((0.9, 0.1, 0.1), PLACES)
    given = {"pictures": pictures, "masks": masks, "clip_vision": pair["clip_vision"]}
    with pytest.raises(ValueError, match="got none of them"):
        call(CheckPixels, **given)
    with pytest.raises(ValueError, match="connect the CLIP"):
        call(CheckPixels, **given, classes="red\nblue")
    with pytest.raises(ValueError, match="no 'green' to check"):
        call(CheckPixels, **given, classes="red\nblue", clip=pair["clip"], by="green")
    with pytest.raises(ValueError, match="give one for each picture, or one for all"):
        call(CheckPixels, **(given | {"masks": masks[:2]}), classes="red\nblue", clip=pair["clip"])


def test_the_labs_pair_agrees_on_colours(call, pair):
    vision, said = call(PairEncoders, **pair)
    assert "agree on 8 plain colours" in said and vision.encode_image is not None
    assert not hasattr(pair["clip_vision"], "concept_atelier_trusted")
