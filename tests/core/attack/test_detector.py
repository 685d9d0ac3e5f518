"""Detectors on planted pictures."""

import pytest
import torch

from concept_atelier.core.attack.detector import NearestPrototype, least_likeness, nearest_prototype
from concept_atelier.core.evaluate.prototypes import Prototypes


def plain(colour, count=2):
    """Pictures (count, 3, 4, 4) of one colour, slightly different ones."""
    base = torch.tensor(colour).view(1, 3, 1, 1).expand(count, 3, 4, 4)
    return (base + 0.02 * torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


def colours(pictures):
    return torch.nn.functional.normalize(pictures.mean((2, 3)), dim=1)


RED, GREEN, BLUE = (0.9, 0.1, 0.1), (0.1, 0.9, 0.1), (0.1, 0.1, 0.9)


def test_it_finds_the_planted_pictures_and_no_others():
    detector = nearest_prototype(colours, {"red": plain(RED), "green": plain(GREEN), "blue": plain(BLUE)}, "green")
    pictures = torch.cat([plain(RED, 1), plain(GREEN, 2), plain(BLUE, 1)])
    assert detector.found(pictures).tolist() == [False, True, True, False]
    assert detector.nearest(pictures) == ["red", "green", "green", "blue"]


def test_a_picture_of_none_of_the_names_is_not_taken_for_the_nearest():
    """This green is nearer to red than to blue, and is neither."""
    detector = nearest_prototype(colours, {"red": plain(RED), "blue": plain(BLUE)}, "red")
    drawn = torch.cat([plain(RED, 1), plain((0.2, 0.9, 0.1), 1)])
    assert detector.nearest(drawn) == ["red", "red"] and detector.found(drawn).tolist() == [True, False]


def test_enough_lies_half_way_between_its_own_pictures_and_others():
    own, others = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert least_likeness(own, others) == pytest.approx(0.75)


def test_a_concept_needs_something_to_be_compared_with():
    with pytest.raises(ValueError, match="at least one alternative"):
        nearest_prototype(colours, {"red": plain(RED)}, "red")
    with pytest.raises(ValueError, match="no prototype is called"):
        NearestPrototype(colours, Prototypes(("a", "b"), torch.eye(2)), "c")
