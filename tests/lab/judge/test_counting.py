"""Finding and counting concepts by the judge, and their attributes: known scenes of the lab's own world."""

import random

import numpy as np
import torch

from concept_atelier.core.evaluate.leaks import shares_in_regions
from concept_atelier.lab.judge.counting import see_concepts
from concept_atelier.lab.judge.judge import load_judge
from concept_atelier.lab.world.backgrounds import sample_background
from concept_atelier.lab.world.scene import Look, compose
from concept_atelier.lab.world.settings import SceneSettings

CAT, SUN = ("cat", "red"), ("sunflower", "yellow")


def scene(*things, seed=0, style="flat"):
    """A picture (1, 3, H, W) of things and their masks (K, H, W)."""
    rng = random.Random(seed)
    looks = [Look(name, style, colour, name) for name, colour in things]
    settings = SceneSettings(size=(128, 128), sides=(0.36, 0.4), gap=0.12)
    drawn, objects = compose(rng, looks, sample_background(rng, 0.0), settings)
    picture = torch.from_numpy(np.array(drawn)).permute(2, 0, 1)[None].float() / 255
    return picture, torch.from_numpy(np.stack([thing.mask for thing in objects]))


def see(source, *others):
    """What is seen of the concepts of one picture in others."""
    picture, masks = source
    return see_concepts(load_judge(), [(picture, mask) for mask in masks], torch.cat([one[0] for one in others]))


def counts(source, *others):
    return see(source, *others).counts


def test_objects_and_second_copies_are_counted():
    found = counts(scene(CAT, SUN), scene(SUN, CAT, seed=1), scene(CAT, SUN, CAT, seed=2), scene(SUN, seed=3))
    assert found.T.tolist() == [[1, 1], [2, 1], [0, 1]]


def test_two_of_a_kind_are_distinguished_by_their_looks():
    blue = ("cat", "blue")
    found = counts(scene(CAT, blue), scene(blue, CAT, seed=1), scene(CAT, CAT, seed=2))
    assert found.T.tolist() == [[1, 1], [2, 0]]


def test_a_concept_is_where_its_cells_are():
    """Of a map, more than nine tenths lies in the object's exact mask, grown by a cell; the other picture is empty."""
    there = scene(SUN, CAT, seed=1)
    found = see(scene(CAT, SUN), there, scene(SUN, seed=3))
    for number, mask in enumerate(reversed(there[1])):
        near = torch.nn.functional.max_pool2d(mask[None].float(), 17, stride=1, padding=8)
        share, _ = shares_in_regions(found.maps[number : number + 1, :1], near)
        assert float(share) > 0.9
    assert not found.maps[0, 1].any() and found.maps[1, 1].any()


def test_colours_are_compared_with_the_source():
    found = see(scene(CAT, SUN), scene(("cat", "blue"), SUN, seed=1), scene(SUN, CAT, seed=2), scene(SUN, seed=3))
    assert found.attributes.own == ("red", "yellow")
    assert found.attributes.seen == (("blue", "red", None), ("yellow", "yellow", "yellow"))
    assert found.attributes.right().tolist() == [0.5, 1.0]


def test_concepts_of_different_pictures_are_seen_together():
    sources = [scene(CAT, seed=4), scene(SUN, seed=5)]
    found = see_concepts(load_judge(), [(picture, masks[0]) for picture, masks in sources], scene(CAT, SUN, seed=1)[0])
    assert found.counts.tolist() == [[1], [1]] and found.attributes.own == ("red", "yellow")


def test_the_attribute_of_a_style_is_its_name():
    neon, cat = scene(CAT, SUN, seed=4, style="neon")[0], scene(CAT, seed=5)
    whole = torch.ones(128, 128, dtype=torch.bool)
    drawn = torch.cat([scene(CAT, SUN, seed=seed, style=style)[0] for seed, style in ((1, "neon"), (2, "flat"))])
    found = see_concepts(load_judge(), [(cat[0], cat[1][0]), (neon, whole)], drawn, torch.tensor([False, True]))
    assert found.attributes.own[1] == "neon" and found.attributes.seen[1] == ("neon", "flat")
    assert found.counts[1].tolist() == [0, 0] and not found.maps[1].any()


def test_what_the_judge_does_not_know_is_not_counted():
    mask = torch.zeros(128, 128, dtype=torch.bool)
    mask[40:80, 40:80] = True
    grey = torch.full((1, 3, 128, 128), 0.5)
    assert see_concepts(load_judge(), [(grey, mask)], torch.zeros(1, 3, 128, 128)) is None
