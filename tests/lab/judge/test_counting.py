"""Counting concepts by the judge: known scenes of the lab's own world."""

import random

import numpy as np
import torch

from concept_atelier.lab.judge.counting import count_concepts
from concept_atelier.lab.judge.judge import load_judge
from concept_atelier.lab.world.backgrounds import sample_background
from concept_atelier.lab.world.scene import Look, compose
from concept_atelier.lab.world.settings import SceneSettings

CAT, SUN = ("cat", "red"), ("sunflower", "yellow")


def scene(*things, seed=0):
    """A picture (1, 3, H, W) of things and their masks (K, H, W)."""
    rng = random.Random(seed)
    looks = [Look(name, "flat", colour, name) for name, colour in things]
    settings = SceneSettings(size=(128, 128), sides=(0.36, 0.4), gap=0.12)
    drawn, objects = compose(rng, looks, sample_background(rng, 0.0), settings)
    picture = torch.from_numpy(np.array(drawn)).permute(2, 0, 1)[None].float() / 255
    return picture, torch.from_numpy(np.stack([thing.mask for thing in objects]))


def counts(source, *others):
    picture, masks = source
    return count_concepts(load_judge(), picture, masks, torch.cat([one[0] for one in others]))


def test_objects_and_second_copies_are_counted():
    found = counts(scene(CAT, SUN), scene(SUN, CAT, seed=1), scene(CAT, SUN, CAT, seed=2), scene(SUN, seed=3))
    assert found.T.tolist() == [[1, 1], [2, 1], [0, 1]]


def test_two_of_a_kind_are_distinguished_by_their_looks():
    blue = ("cat", "blue")
    found = counts(scene(CAT, blue), scene(blue, CAT, seed=1), scene(CAT, CAT, seed=2))
    assert found.T.tolist() == [[1, 1], [2, 0]]


def test_what_the_judge_does_not_know_is_not_counted():
    masks = torch.zeros(1, 128, 128, dtype=torch.bool)
    masks[:, 40:80, 40:80] = True
    assert count_concepts(load_judge(), torch.full((1, 3, 128, 128), 0.5), masks, torch.zeros(1, 3, 128, 128)) is None
