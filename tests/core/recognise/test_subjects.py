"""What every method of learning a subject promises, on activations in which the subject is planted."""

from dataclasses import fields, replace

import pytest
import torch

from concept_atelier.core.explain.activations import Activations
from concept_atelier.core.explain.bank_files import bank_tensors, load_bank
from concept_atelier.core.explain.registry import encode
from concept_atelier.core.files import save_tensors
from concept_atelier.core.recognise.parts.regions import crop_box, crops_of, find_subject, parts_of, shares_on
from concept_atelier.core.recognise.registry import SUBJECTS
from tests.core.explain.conftest import origin
from tests.core.recognise.conftest import scenes

every_method = pytest.mark.parametrize("name", SUBJECTS)


@pytest.fixture(scope="module")
def banks(examples):
    return {name: method.bank(*examples, "fox") for name, method in SUBJECTS.items()}


@every_method
def test_a_planted_subject_is_found_in_new_pictures_and_not_where_it_is_not(name, banks, unseen, plain_pictures):
    activations, masks = unseen
    found = find_subject(encode(banks[name], activations), 0, plain_pictures)
    assert found.present == [0, 2]
    assert float(found.scores[[0, 2]].min()) > 0.5 > float(found.scores[1])
    for index in (0, 2):
        both = (found.masks[index] & (masks[index] > 0)).sum()
        assert float(both / (found.masks[index] | (masks[index] > 0)).sum()) > 0.7
        peak = int(found.soft[index].argmax())
        assert masks[index].flatten()[peak] == 1  # the pointing game


@every_method
def test_one_picture_is_enough_and_says_what_it_expects(name, examples, banks):
    activations, masks = examples
    one = Activations(activations.rows[:1], activations.grid, activations.origin)
    bank = SUBJECTS[name].bank(one, masks[:1], "fox")
    assert bank.names == ("fox",) and bank.metadata["examples"] == "1"
    assert banks[name].metadata["examples"] == "3" and float(banks[name].metadata["expected"]) > 0.6


@every_method
def test_the_name_decides_nothing(name, examples, banks):
    other = SUBJECTS[name].bank(*examples, "a wholly different word")
    assert torch.equal(other.directions, banks[name].directions)


@every_method
def test_a_subject_comes_back_from_its_file(name, banks, unseen, tmp_path):
    path = tmp_path / "subject.safetensors"
    save_tensors(path, *bank_tensors(banks[name]))
    torch.testing.assert_close(encode(load_bank(path), unseen[0]).values, encode(banks[name], unseen[0]).values)


@every_method
def test_a_corrected_region_is_no_longer_found_and_one_that_is_added_is(name, banks, unseen, plain_pictures):
    method, (activations, masks) = SUBJECTS[name], unseen
    only = torch.zeros_like(masks)
    only[0] = masks[0]
    kept = banks[name].directions.clone()
    less = method.corrected(banks[name], activations, only, "other")
    before, after = (encode(bank, activations).scores()[0, 0] for bank in (banks[name], less))
    assert float(after) < float(before) and less.metadata["corrections"] == "1"
    other = scenes(1, [(3, 3)], seed=5, subject=torch.randn(24, generator=torch.Generator().manual_seed(3)))
    more = method.corrected(banks[name], *other, "shown")
    inside = torch.nn.functional.avg_pool2d(other[1][:, None], 8).flatten(1)[0] > 0.5
    was, now = (encode(bank, other[0]).values[0, inside, 0].mean() for bank in (banks[name], more))
    assert float(now) > float(was)
    assert torch.equal(banks[name].directions, kept)


@every_method
def test_a_further_example_teaches_what_it_would_have_taught_at_first(name, examples, unseen, plain_pictures):
    """The threshold is that of the first example, so that scores differ a little from those of both together."""
    activations, masks = examples
    one, other = (Activations(activations.rows[part], activations.grid, activations.origin) for part in ([0], [1]))
    more = SUBJECTS[name].corrected(SUBJECTS[name].bank(one, masks[:1], ""), other, masks[1:2], "whole")
    found = find_subject(encode(more, unseen[0]), 0, plain_pictures, 0.4)
    for index in (0, 2):
        both = (found.masks[index] & (unseen[1][index] > 0)).sum()
        assert float(both / (found.masks[index] | (unseen[1][index] > 0)).sum()) > 0.6
    assert float(found.scores[1]) < float(found.scores[[0, 2]].min())


@every_method
def test_it_works_in_inference_mode_as_nodes_do(name):
    with torch.inference_mode():
        activations, masks = scenes(2, [(0, 0), (4, 4)])
        assert len(SUBJECTS[name].bank(activations, masks, "fox")) == 1


@every_method
def test_every_setting_has_a_help_text(name):
    assert all(entry.metadata.get("help") for entry in fields(SUBJECTS[name].settings))


@every_method
def test_what_does_not_fit_is_refused(name, examples, banks):
    activations, masks = examples
    with pytest.raises(ValueError, match="of 4 pictures, and 3 masks"):
        SUBJECTS[name].bank(activations, masks[:3], "fox")
    with pytest.raises(ValueError, match="all masks are empty"):
        SUBJECTS[name].bank(activations, torch.zeros_like(masks), "fox")
    other = Activations(activations.rows, activations.grid, origin(site="16"))
    with pytest.raises(ValueError, match="site 16 instead of 8"):
        SUBJECTS[name].corrected(banks[name], other, masks, "shown")
    with pytest.raises(ValueError, match="outside must be below inside"):
        replace(SUBJECTS[name].settings, outside=0.9)


def test_a_subject_smaller_than_a_position_is_learnt():
    activations, masks = scenes(2, [(0, 0), (4, 4)])
    small = torch.zeros_like(masks)
    small[0, 2:5, 2:5], small[1, 34:37, 34:37] = 1, 1
    assert float(SUBJECTS["contrast"].bank(activations, small, "").peaks) > 0


def test_parts_are_numbered_apart():
    mask = torch.zeros(5, 6, dtype=torch.bool)
    mask[0, :3], mask[2:4, 4], mask[4, 0] = True, True, True
    labels = parts_of(mask)
    assert len(labels[mask].unique()) == 3 and bool((labels[~mask] == -1).all())
    assert bool((parts_of(torch.zeros(3, 3, dtype=torch.bool)) == -1).all())


def test_crops_are_squares_inside_of_the_picture():
    assert crop_box((0.0, 0.0, 0.25, 0.5), (40, 80), 0.0) == (0, 0, 20)
    top, left, side = crop_box((0.9, 0.9, 1.0, 1.0), (40, 80), 1.0)
    assert top + side <= 40 and left + side <= 80
    assert crop_box((0.0, 0.0, 1.0, 1.0), (40, 80), 0.5)[2] == 40
    picture = torch.zeros(2, 3, 40, 80)
    picture[0, :, :20, :20] = 1
    cut = crops_of(picture, [(0.0, 0.0, 0.25, 0.5), None], 0.0, 16)
    assert cut.shape == (1, 3, 16, 16) and float(cut.min()) > 0.9
    assert crops_of(picture, [None, None], 0.0, 16).shape == (0, 3, 16, 16)


def test_contrast_that_is_fed_in_turn_is_as_if_all_had_been_there(examples):
    """By the settings that the bank was learnt with."""
    activations, masks = examples
    method = SUBJECTS["contrast"]
    settings = replace(method.settings, ridge=2.0)
    first = method.bank(activations, masks, "", settings)
    again = method.corrected(first, activations, masks, "whole")
    torch.testing.assert_close(again.directions, first.directions, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(again.extra["length"], first.extra["length"], rtol=1e-3, atol=1e-3)


def test_masks_of_another_size_than_pictures_with_a_crop_are_refused():
    """Pictures of 100x100, of which 96x96 was read on 4x4 positions."""
    inside = shares_on(torch.ones(1, 100, 100), (4, 4), (96, 96))
    assert inside.tolist() == [[1.0] * 16]
    for side, said in ((90, "smaller than the part"), (500, "larger than the pictures")):
        with pytest.raises(ValueError, match=said):
            shares_on(torch.ones(1, side, side), (4, 4), (96, 96))
    assert shares_on(torch.ones(1, 500, 500), (4, 4)).tolist() == [[1.0] * 16]


@every_method
@pytest.mark.parametrize("settings", ["{bad", "5", '{"inside": "x"}'])
def test_settings_of_a_damaged_file_are_refused_in_words(name, examples, banks, settings):
    activations, masks = examples
    spoiled = replace(banks[name], metadata={**banks[name].metadata, "settings": settings})
    with pytest.raises(ValueError, match="this subject"):
        SUBJECTS[name].corrected(spoiled, activations, masks, "whole")
