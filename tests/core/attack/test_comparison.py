"""Words before and after, on planted features."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.attack.comparison import Comparison, compare, comparing, seen_as
from concept_atelier.core.attack.figures import Figure


def planted(*seen_after):
    """Cat (erased), kitty (its synonym), dog and car, two pictures each; what they are seen as afterwards."""
    pictures = torch.zeros(4, 2, 3, 4, 4)
    before = torch.arange(4)[:, None].expand(4, 2)
    likeness = torch.tensor([[0.2, 0.2], [0.2, 0.2], [0.9, 0.7], [1.0, 1.0]])
    groups = ("erased", "synonyms", "neighbours", "others")
    spread = torch.tensor([0.5, 0.5, 0.5, 0.3])
    words, after = ("cat", "kitty", "dog", "car"), torch.tensor(seen_after)
    return Comparison(words, groups, pictures, pictures, before, after, likeness, spread, (1.0, 2.0))


def test_figures_of_groups():
    made = planted([2, 3], [3, 0], [2, 3], [3, 3])
    assert made.figure("erased") == Figure(0.0, 0.0, 1.0, 2)
    assert made.figure("synonyms") == Figure(0.5, 0.0, 1.0, 2)  # seen as a cat, which was erased as well
    assert made.figure("neighbours") == Figure(0.5, 0.0, 1.0, 2)
    assert made.figure("others") == Figure(1.0, 0.0, 1.0, 2)
    assert made.kept() == (pytest.approx(0.9), pytest.approx(0.4))


def test_the_floor_of_what_stays_is_how_often_other_pictures_are_taken_for_it():
    made = planted([0, 0], [1, 1], [2, 2], [3, 3])
    mistaken = made.seen_before.clone()
    mistaken[0, 0] = mistaken[3, 0] = mistaken[3, 1] = 2  # three of six pictures of other words are seen as the dog
    made = replace(made, seen_before=mistaken)
    assert (made.figure("neighbours").floor, made.figure("others").floor) == (0.5, 0.0)
    assert made.figure("erased").floor == 0.0


def test_styles_of_kept_pictures_stand_beside_those_of_other_noise():
    made = planted([0, 0], [1, 1], [2, 2], [3, 3])
    assert made.kept_style() is None  # too small to have one
    before = torch.rand(4, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    after = before.clone()
    after[0] = 0  # what was erased does not count
    same = replace(made, before=before, after=after)
    distance, spread = same.kept_style()
    assert distance == 0 < spread
    after[3] = after[3] / 2
    assert same.kept_style()[0] > 0 and same.kept_style()[1] == spread


def test_a_synonym_shows_what_its_concept_shows():
    found_before, found_after = planted([1, 2], [0, 1], [2, 2], [3, 3]).found(0)
    assert found_before.tolist() == [True, True] and found_after.tolist() == [True, False]


def test_no_picture_is_compared_with_itself():
    """Both pictures of the second word are like those of the first, and of one noise like the other word's of it."""
    first, second, mixed = torch.eye(3)
    before = torch.stack([torch.stack([first, first, mixed]), torch.stack([second, second, mixed])])
    assert seen_as(before, before)[:, :2].tolist() == [[0, 0], [1, 1]]
    swapped = before.flip(0)
    assert seen_as(before, swapped)[:, :2].tolist() == [[1, 1], [0, 0]]


def test_a_model_beside_itself_loses_nothing(lab_backbone, task):
    quick = task().settings
    words, passes = {"erased": ["cat"], "others": ["car"]}, []
    made = compare(lab_backbone, lab_backbone, words, lambda p: p.flatten(1), quick, on_passes=passes.append)
    assert sum(passes) == comparing(words, quick)
    assert torch.equal(made.before, made.after) and torch.equal(made.seen_before, made.seen_after)
    torch.testing.assert_close(made.likeness, torch.ones(2, 2))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"erased": ["cat"], "others": ["cat"]}, "more than once"),
        ({"erased": ["cat"]}, "one neighbour or other word"),
        ({"others": ["cat"]}, "at least one word that was erased"),
    ],
)
def test_words_that_cannot_be_compared_are_refused(words, message, lab_backbone, task):
    with pytest.raises(ValueError, match=message):
        compare(lab_backbone, lab_backbone, words, torch.flatten, task().settings)
