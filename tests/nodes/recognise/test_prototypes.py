"""From pictures with masks to a subject, found, cropped and corrected, over the lab's image tower."""

import pytest
import torch

from concept_atelier.lab.model.vision import load_vision
from concept_atelier.nodes import (
    FindIngredients,
    FindMySubject,
    FindPrototypes,
    IngredientMasks,
    LearnPrototypes,
    LoadIngredients,
    PrototypeFeedback,
    RecordActivations,
    SaveIngredients,
)

SIDE = 64
PLACES = [(4, 4), (30, 20), (8, 36), None]


def scene(place, colour=(0.9, 0.2, 0.1)):
    """A picture (64, 64, 3) of a striped square on grey with a green bar, and the mask of the square."""
    picture, mask = torch.full((SIDE, SIDE, 3), 0.3), torch.zeros(SIDE, SIDE)
    picture[56:, :] = torch.tensor([0.1, 0.7, 0.2])
    if place is not None:
        top, left = place
        picture[top : top + 24, left : left + 24] = torch.tensor(colour)
        picture[top : top + 24 : 6, left : left + 24] = 1.0
        mask[top : top + 24, left : left + 24] = 1
    return picture, mask


def batch(places):
    drawn = [scene(place) for place in places]
    return torch.stack([picture for picture, _ in drawn]), torch.stack([mask for _, mask in drawn])


@pytest.fixture(scope="module")
def vision():
    return load_vision()


@pytest.fixture(scope="module")
def examples(call, vision):
    pictures, masks = batch(PLACES)
    return call(RecordActivations, pictures=pictures, clip_vision=vision, site="all")[0], masks


@pytest.fixture(scope="module")
def folder(call, vision):
    pictures, masks = batch([(16, 8), None, (2, 38)])
    return call(RecordActivations, pictures=pictures, clip_vision=vision, site="all")[0], pictures, masks


@pytest.fixture(scope="module", params=["contrast", "prototypes"])
def subject(request, call, examples):
    return call(LearnPrototypes, activations=examples[0], masks=examples[1], name="square", method=request.param)


def test_a_subject_is_found_boxed_and_cropped(call, subject, folder):
    activations, pictures, true = folder
    given = {"bank": subject[0], "activations": activations, "pictures": pictures, "crop_size": 48}
    masks, crops, sheet, boxes, scores, report = call(FindPrototypes, **given, names="a\nb\nc")
    assert masks.shape == (3, SIDE, SIDE) and crops.shape == (2, 48, 48, 3) and len(sheet) == 1
    assert [len(one) for one in boxes] == [1, 0, 1] and boxes[0][0]["metadata"]["desc"] == "square"
    both, either = (masks * true).sum((1, 2)), torch.maximum(masks, true).sum((1, 2))
    assert float((both / either)[[0, 2]].min()) > 0.6
    assert scores.names == ("square",) and float(scores.values[1]) < float(scores.values[[0, 2]].min())
    assert report.splitlines()[0] == "square: found in 2 of 3 pictures" and "b: " in report and "not found" in report
    assert float(crops[0].sub(pictures[0, 16:40, 8:32].mean((0, 1))).abs().mean()) < 0.3


def test_a_wider_margin_shows_more_of_the_surroundings(call, subject, folder, vision):
    activations, pictures, _ = folder
    of_bank = {"bank": subject[0], "activations": activations, "pictures": pictures}
    examples, masks = batch([(4, 4), (30, 20), (8, 36)])
    of_one = {"pictures": pictures, "examples": examples, "masks": masks, "clip_vision": vision, "site": "all"}
    for node, given in ((FindPrototypes, of_bank), (FindMySubject, of_one)):
        tight, wide = (call(node, **given, crop_size=32, margin=margin)[1][0] for margin in (0.0, 1.0))
        red = [((crop[..., 0] - crop[..., 2]) > 0.3).float().mean() for crop in (tight, wide)]
        assert float(red[1]) < 0.6 * float(red[0])


def test_what_was_learnt_is_said(subject):
    assert "Learnt square from 3 of 4 pictures" in subject.ui.value
    assert "valid for lab image tower, site all alone" in subject.ui.value


def test_a_subject_is_a_bank_as_ingredients_are(call, subject, folder):
    name = call(SaveIngredients, bank=subject[0], name="mine")[0]
    again = call(LoadIngredients, name=name)[0]
    activations, pictures, _ = folder
    masks = call(IngredientMasks, bank=again, activations=activations, pictures=pictures, ingredients="square")[0]
    assert masks.shape == (3, SIDE, SIDE) and float(masks[0].sum()) > 0


def test_feedback_changes_what_is_found_and_leaves_the_subject_as_it_is(call, subject, folder):
    activations, pictures, true = folder
    before = {name: tensor.clone() for name, tensor in subject[0].extra.items()}
    only = torch.zeros_like(true)
    only[0] = true[0]
    given = {"activations": activations, "masks": only, "regions": "do not show it"}
    less = call(PrototypeFeedback, bank=subject[0], **given)
    assert "1 correction" in less.ui.value
    assert all(torch.equal(tensor, before[name]) for name, tensor in subject[0].extra.items())
    found = {"activations": activations, "pictures": pictures, "threshold": 0.05}
    was, now = (call(FindPrototypes, bank=bank, **found)[4].values[0] for bank in (subject[0], less[0]))
    assert float(now) < float(was)


def test_one_node_from_examples_to_crops(call, vision, folder):
    examples, masks = batch([(4, 4), (30, 20), (8, 36)])
    others, _ = batch([None, None])
    given = {"pictures": folder[1], "examples": examples, "masks": masks, "clip_vision": vision}
    found, crops, *_ = call(FindMySubject, **given, others=others, site="all", crop_size=32)
    assert found.shape == (3, SIDE, SIDE) and crops.shape[1:] == (32, 32, 3)
    assert float(found[0].sum()) > 0 and float(found[1].sum()) == 0


def test_what_does_not_fit_is_refused(call, subject, folder, examples, vision):
    activations, pictures, _ = folder
    empty = call(RecordActivations, pictures=pictures[1:2], clip_vision=vision, site="all")[0]
    with pytest.raises(ValueError, match="^picture 1 does not show square: its score is 0"):
        call(FindPrototypes, bank=subject[0], activations=empty, pictures=pictures[1:2], threshold=0.9)
    twice = pictures[1:2].expand(2, -1, -1, -1)
    both = call(RecordActivations, pictures=twice, clip_vision=vision, site="all")[0]
    with pytest.raises(ValueError, match="none of 2 pictures shows square; a.png is nearest, with a score of 0"):
        call(FindPrototypes, bank=subject[0], activations=both, pictures=twice, threshold=0.9, names="a.png\nb.png")
    with pytest.raises(ValueError, match="2 names were given for 3 pictures"):
        call(FindPrototypes, bank=subject[0], activations=activations, pictures=pictures, names="a\nb")
    bank = call(FindIngredients, activations=activations, count=2, method="kmeans", fits=1)[0]
    with pytest.raises(ValueError, match="found by 'kmeans', and a subject is wanted"):
        call(FindPrototypes, bank=bank, activations=activations, pictures=pictures)
    with pytest.raises(ValueError, match="contrast has no setting 'depth'"):
        call(LearnPrototypes, activations=examples[0], masks=examples[1], method="contrast", settings="depth=2")
