"""Detectors on planted pictures."""

import pytest
import torch

from concept_atelier.core.attack.detector import NearestPrototype, nearest_prototype
from concept_atelier.core.evaluate.prototypes import Prototypes


def plain(colour, count=2):
    """Pictures (count, 3, 4, 4) of one colour, slightly different ones."""
    base = torch.tensor(colour).view(1, 3, 1, 1).expand(count, 3, 4, 4)
    return (base + 0.02 * torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


def colours(pictures):
    return pictures.mean((2, 3))


RED, GREEN, BLUE = (0.9, 0.1, 0.1), (0.1, 0.9, 0.1), (0.1, 0.1, 0.9)


def test_it_finds_the_planted_pictures_and_no_others():
    detector = nearest_prototype(colours, {"red": plain(RED), "green": plain(GREEN), "blue": plain(BLUE)}, "green")
    pictures = torch.cat([plain(RED, 1), plain(GREEN, 2), plain(BLUE, 1)])
    assert detector.found(pictures).tolist() == [False, True, True, False]
    assert detector.nearest(pictures) == ["red", "green", "green", "blue"]


def test_a_concept_needs_something_to_be_told_from():
    with pytest.raises(ValueError, match="at least one alternative"):
        nearest_prototype(colours, {"red": plain(RED)}, "red")
    with pytest.raises(ValueError, match="no prototype is called"):
        NearestPrototype(colours, Prototypes(("a", "b"), torch.eye(2)), "c")
