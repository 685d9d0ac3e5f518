import pytest
import torch

from concept_atelier.core.explain.audit import audit, together
from concept_atelier.core.explain.bank import ConceptCodes
from tests.core.explain.test_bank import bank

CONCEPTS = 20


def pictures(count, seed, shares=None):
    """Codes of pictures in which each concept is in two of ten, or in other shares."""
    generator = torch.Generator().manual_seed(seed)
    shares = torch.full((CONCEPTS,), 0.2) if shares is None else shares
    there = torch.rand(count, 1, CONCEPTS, generator=generator) < shares
    values = there * torch.rand(count, 9, CONCEPTS, generator=generator)
    found = bank(CONCEPTS, CONCEPTS, names=tuple(map(str, range(CONCEPTS))), directions=torch.eye(CONCEPTS))
    return ConceptCodes(values, (3, 3), found)


def test_what_was_withheld_and_what_was_doubled_is_found_and_nothing_else():
    shares = torch.full((CONCEPTS,), 0.2)
    shares[[3, 7]], shares[11] = 0.0, 0.8
    for seed in range(5):
        found = audit(pictures(200, seed), pictures(200, seed + 50, shares), seed)
        assert sorted(found.missing()) == [3, 7] and found.excessive() == [11]
        assert bool((found.low < found.ratio).all()) and bool((found.ratio < found.high).all())


def test_two_halves_of_one_folder_do_not_differ():
    for seed in range(5):
        found = audit(pictures(100, seed), pictures(100, seed + 50), seed)
        assert found.missing() == [] and found.excessive() == []


def test_a_copy_is_found_with_its_original():
    reference, drawn = pictures(30, 0), pictures(10, 1)
    values = drawn.values.clone()
    values[4] = 1.02 * reference.values[17]
    assert audit(reference, ConceptCodes(values, (3, 3), drawn.bank)).copies == ((4, 17),)


def test_a_copy_is_found_of_a_picture_that_stands_in_the_reference_twice():
    reference, drawn = pictures(30, 0), pictures(10, 1)
    twice, values = reference.values.clone(), drawn.values.clone()
    twice[18] = twice[17]
    values[4] = 1.02 * twice[17]
    known = ConceptCodes(twice, (3, 3), reference.bank)
    assert audit(known, ConceptCodes(values, (3, 3), drawn.bank)).copies == ((4, 17),)


def test_too_few_pictures_are_refused():
    with pytest.raises(ValueError, match="at least two pictures of either kind, got 1"):
        audit(pictures(1, 0), pictures(5, 1))


def test_pairs_show_a_change_that_pictures_one_by_one_do_not():
    """A third less of one concept, in every picture that has it: drowned by what differs from picture to picture."""
    reference = pictures(40, 0)
    values = reference.values.clone()
    values[..., 5] *= 0.66
    drawn = ConceptCodes(values, (3, 3), reference.bank)
    found = audit(reference, drawn, paired=True)
    assert found.missing(1.4) == [5] and audit(reference, drawn).missing(1.4) == []
    rest = [index for index in range(CONCEPTS) if index != 5]
    assert found.low[rest].tolist() == pytest.approx([1] * len(rest)) and found.copies == ()
    shows = reference.values[..., 5].amax(1) > 0
    assert found.moved is not None and bool((found.moved[shows] > 1e-4).all())
    assert found.moved[~shows].tolist() == pytest.approx([0] * int((~shows).sum()), abs=1e-5)


def test_pairs_of_unlike_numbers_are_refused():
    with pytest.raises(ValueError, match="as many drawings as pictures of the reference, got 5 and 4"):
        audit(pictures(4, 0), pictures(5, 1), paired=True)


def test_parts_of_one_thing_stand_together():
    """Concepts 2 and 5 are strong in the same pictures as concept 9, and concept 4 in others."""
    codes = pictures(60, 3)
    values = codes.values.clone()
    values[..., 2], values[..., 5] = 0.7 * values[..., 9], 2 * values[..., 9]
    same = ConceptCodes(values, (3, 3), codes.bank)
    assert together(same, [9, 4, 2, 5]) == [[9, 2, 5], [4]]
    assert together(same, [4]) == [[4]] and together(same, []) == []


def test_pictures_of_another_size_are_refused():
    other = pictures(10, 1)
    other = ConceptCodes(other.values.repeat(1, 4, 1), (6, 6), other.bank)
    for paired in (False, True):
        with pytest.raises(ValueError, match="3x3 positions and the drawings 6x6; give both in one size"):
            audit(pictures(10, 0), other, paired=paired)
