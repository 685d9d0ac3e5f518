import json
import re
from dataclasses import asdict

import pytest
import torch

from concept_atelier.core.explain.activations import Activations, check_memory, fingerprint_of
from concept_atelier.core.explain.bank import ConceptBank, ConceptCodes, peaks_of
from concept_atelier.core.explain.bank_files import bank_tensors, load_bank
from concept_atelier.core.explain.locate import best_places, concept_masks, disjoint, strongest
from concept_atelier.core.explain.naming import nearest_names
from concept_atelier.core.files import save_tensors
from tests.core.explain.conftest import origin


def bank(count=3, width=4, **changes):
    ones = torch.ones(count)
    given = {
        "directions": torch.eye(count, width),
        "names": tuple("abc"[:count]),
        "kind": "semi_nmf",
        "origin": origin(width=width),
        "centre": torch.zeros(width),
        "scale": torch.ones(width),
        "peaks": ones,
        "usual": torch.zeros(count),
        "stability": ones,
    }
    return ConceptBank(**(given | changes))


def codes(values, grid=(2, 2), covered=None):
    return ConceptCodes(torch.tensor(values), grid, bank(), covered)


def test_what_divides_pictures_that_show_a_concept_from_those_that_do_not():
    shows = torch.tensor([0.1, 0.2, 0.15, 2.0, 2.2, 2.1])
    values = torch.stack([shows, torch.zeros(6)], 1)[:, None]  # (6, 1, 2)
    peaks = peaks_of(values)
    assert 0.2 < float(peaks[0]) / 2 < 2.0 and float(peaks[1]) == 1.0


def test_names_are_found_by_name_and_number_and_stay_distinct():
    renamed = bank().renamed({0: "cat", 2: "cat"})
    assert renamed.names == ("cat", "b", "cat 2") and renamed.index("cat 2") == 2 and renamed.index("2") == 1
    assert renamed.index("Cat") == 0
    with pytest.raises(ValueError, match="no ingredient 'dog'; the names are cat, b, cat 2, and the numbers 1 to 3"):
        renamed.index("dog")
    numbered = bank(names=("1", "2", "3"))
    with pytest.raises(ValueError, match="no ingredient 'dog'; these have numbers, 1 to 3; Show Ingredients names"):
        numbered.index("dog")


def test_masks_lie_where_codes_are():
    one = codes([[[0.0, 0, 0], [1.0, 0, 0], [0, 0, 0], [0, 0.8, 0]]])
    masks = concept_masks(one, [0, 1], (8, 8), 0.5)
    assert masks.shape == (2, 1, 8, 8)
    assert masks[0, 0, 1, 6] == 1 and masks[0, 0, :, :3].sum() == 0 and masks[0, 0, 6:].sum() == 0
    assert masks[1, 0, 6, 6] == 1 and float(masks[1, 0, :4].sum()) == 0
    parts = disjoint(concept_masks(one, [0, 1], (8, 8)), 0.1)
    assert float(parts.sum(0).max()) == 1


def test_maps_of_some_concepts_and_codes_of_one_picture_are_those_of_all():
    both = ConceptCodes(torch.rand(2, 4, 3), (2, 2), bank(peaks=torch.tensor([0.5, 1.0, 2.0])))
    assert torch.equal(both.maps([2, 0]), both.maps()[:, [2, 0]])
    second = concept_masks(both.of_picture(1), [1], (8, 8))
    assert torch.equal(second, concept_masks(both, [1], (8, 8))[:, 1:])


def test_masks_follow_the_edges_of_pictures_where_they_are_given():
    """A code in the left half of the grid, and a picture whose left third is red."""
    one = codes([[[1.0, 0, 0], [0, 0, 0], [1.0, 0, 0], [0, 0, 0]]])
    picture = torch.zeros(1, 3, 24, 24)
    picture[:, 0, :, :8] = 1
    smooth, along = (concept_masks(one, [0], (24, 24), 0.5, guide)[0, 0] for guide in (None, picture))
    red = picture[0, 0] > 0
    assert float((along.bool() == red).float().mean()) > float((smooth.bool() == red).float().mean())
    for guide in (picture, torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))):
        kept = concept_masks(codes([[[0.6, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]]), [0], (24, 24), guide=guide)
        assert float(kept.max()) == pytest.approx(0.6, abs=1e-3)  # not averaged away
    soft = concept_masks(one, [0], (24, 24), guide=picture)
    assert float(soft.min()) >= 0 and float(soft.max()) <= 1


def test_masks_of_a_cropped_picture_lie_in_its_middle():
    wide = codes([[[1.0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]], covered=(8, 8))
    mask = concept_masks(wide, [0], (8, 12), 0.5)[0, 0]
    assert mask[1, 3] == 1 and float(mask[:, 7:].sum()) == 0


def test_the_best_places_are_squares_around_the_strongest_positions():
    pictures = [[[0.0, 0, 0], [0, 0, 0], [0, 0, 0], [0.5, 0, 0]], [[0.9, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]]
    places = best_places(codes(pictures), 0, (10, 10), 5, share=0.5)
    assert [(place.picture, place.top, place.left, place.side) for place in places] == [(1, 0, 0, 5), (0, 5, 5, 5)]
    assert best_places(codes(pictures), 1, (10, 10), 5) == []


def test_what_stands_out_is_used_more_than_usual():
    values = torch.tensor([[[1.0, 0.9, 0.0]] * 4])
    usual = ConceptCodes(values, (2, 2), bank(usual=torch.tensor([0.9, 0.0, 0.0])))
    assert strongest(usual, 8) == [1, 0]


def test_names_are_the_nearest_words_and_no_name_where_none_is_near():
    texts = torch.eye(4)[:3]
    every = torch.full((4,), 0.5)
    shown = torch.stack([every + torch.tensor([0.3, -0.1, -0.1, 0]), every + torch.tensor([0.0, 0, 0, 0.3])])
    pictures = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    scores = torch.tensor([[1.0, 0], [0, 0], [0, 0], [0, 1]])
    cat, nothing = nearest_names(shown, every, pictures, scores, ["cat", "dog", "fox"], texts)
    assert cat.good and cat.word == "cat" and cat.score > 0.9
    assert not nothing.good and re.fullmatch(r"no good name \(nearest: (\w+) .*, then (?!\1)\w+ .*\)", str(nothing))


def test_a_fingerprint_survives_rounding_and_distinguishes_models():
    weights = [torch.randn(64, 64, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    one = fingerprint_of(weights)
    assert all(abs(a - b) < 0.01 for a, b in zip(one, fingerprint_of([w.half() for w in weights]), strict=True))
    assert any(abs(a - b) > 0.02 for a, b in zip(one, fingerprint_of(weights[::-1]), strict=True))


def test_memory_is_bounded_and_says_what_fits():
    check_memory(500, 257, 1024)
    with pytest.raises(ValueError, match="at most 4096 pictures fit into 4 GB"):
        check_memory(5000, 256, 1024)


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_tensors(path, {"x": torch.ones(1)}, {"format": "other"})
    with pytest.raises(ValueError, match="holds no ingredients"):
        load_bank(path)
    tensors, metadata = bank_tensors(bank())
    save_tensors(path, tensors, {**metadata, "kind": "future"})
    with pytest.raises(ValueError, match="'future', which this version does not have"):
        load_bank(path)
    del tensors["centre"]
    save_tensors(path, tensors, metadata)
    with pytest.raises(ValueError, match="is damaged"):
        load_bank(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"origin": "[]"}, "origin in the metadata of odd.safetensors is a list, expected a map"),
        ({"origin": '{"kind": "encoder"}'}, "odd.safetensors is damaged"),
        ({"origin": json.dumps({**asdict(origin(width=4)), "noise": "x"})}, "the origin in odd.safetensors is 'x'"),
        ({"origin": json.dumps({**asdict(origin(width=4)), "kind": "tower"})}, "expected one of encoder, denoiser"),
        ({"names": '["a", 5, "c"]'}, "an entry of names in the metadata of odd.safetensors is a number"),
        ({"names": "[" * 100_000}, "nests lists and maps more than 200 deep"),
        ({"explained": "much"}, "explained in the metadata of odd.safetensors"),
        ({"seeds": "NaN"}, "seeds in the metadata of odd.safetensors is nan, expected a whole number"),
        ({"pictures": "many"}, "pictures in the metadata of odd.safetensors is not a JSON file"),
        ({"pictures": "2.5"}, "pictures in the metadata of odd.safetensors is 2.5, expected a whole number"),
        ({"examples": "[]"}, "examples in the metadata of odd.safetensors is [], expected a whole number"),
        ({"kind": "topk_sae"}, "odd.safetensors is damaged"),
    ],
)
def test_files_with_odd_metadata_are_refused_by_file(tmp_path, changes, message):
    path = tmp_path / "odd.safetensors"
    tensors, metadata = bank_tensors(bank())
    save_tensors(path, tensors, {**metadata, **changes})
    with pytest.raises(ValueError, match=re.escape(message)):
        load_bank(path)


def test_files_that_would_divide_by_zero_are_refused(tmp_path):
    path = tmp_path / "odd.safetensors"
    tensors, metadata = bank_tensors(bank())
    save_tensors(path, {**tensors, "scale": torch.zeros(4)}, metadata)
    with pytest.raises(ValueError, match=r"odd.safetensors is damaged \(scale and peaks must be above 0\)"):
        load_bank(path)


def test_activations_of_a_wrong_shape_or_without_numbers_are_refused():
    with pytest.raises(ValueError, match="must be"):
        Activations(torch.zeros(2, 5, 24), (2, 2), origin())
    with pytest.raises(ValueError, match="not finite"):
        Activations(torch.full((2, 4, 24), float("nan")), (2, 2), origin())


def test_files_with_numbers_that_are_not_finite_are_refused_by_file(tmp_path):
    path = tmp_path / "odd.safetensors"
    tensors, metadata = bank_tensors(bank())
    save_tensors(path, {**tensors, "usual": torch.full((3,), torch.nan)}, metadata)
    with pytest.raises(ValueError, match="odd.safetensors is damaged .usual of the ingredients is not finite"):
        load_bank(path)
    tensors.pop("peaks")
    save_tensors(path, tensors, metadata)
    with pytest.raises(ValueError, match="odd.safetensors is damaged .it lacks peaks"):
        load_bank(path)
