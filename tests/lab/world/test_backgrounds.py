"""Backgrounds look like what they are called."""

import random

import numpy as np
import pytest

from concept_atelier.lab.world.backgrounds import COLOURS, PATTERNS, Background, paint, sample_background


@pytest.mark.parametrize("colour", COLOURS)
def test_plain_is_one_colour_near_its_name(colour):
    picture = paint(random.Random(0), Background(colour), 20, 30)
    assert picture.shape == (20, 30, 3) and (picture == picture[0, 0]).all()
    distance = {name: np.abs(picture[0, 0] - np.array(rgb, float)).sum() for name, rgb in COLOURS.items()}
    assert min(distance, key=distance.get) == colour


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("colour", ["white", "black", "blue"])
def test_patterns_vary(pattern, colour):
    picture = paint(random.Random(1), Background(colour, pattern), 64, 48).astype(float)
    assert picture.std((0, 1)).max() > 5


def test_share_of_patterns():
    rng = random.Random(0)
    kinds = [sample_background(rng, 0.3).kind for _ in range(500)]
    assert 0.2 < kinds.count("patterned") / 500 < 0.4
    assert {sample_background(rng, 0.0).kind for _ in range(50)} == {"plain"}
