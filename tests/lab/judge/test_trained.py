"""The judge that ships: it knows the world, and its controls fall to chance."""

import numpy as np
import pytest
import torch

from concept_atelier.lab.judge.judge import load_judge, permuted
from concept_atelier.lab.judge.scenes import spoil
from concept_atelier.lab.world.scene import SceneSettings, sample_scene

SCENES = [
    sample_scene("test", seed, SceneSettings(counts=(1,), unseen=seed % 2 == 1, tinted=0.0)) for seed in range(24)
]


@pytest.fixture(scope="module")
def judge():
    return load_judge()


def look(judge, pictures):
    return judge.look(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255)


def right(judge, pictures):
    found = judge.found(look(judge, pictures))
    return sum(scene.objects[0].name in names for scene, names in zip(SCENES, found, strict=True))


def test_it_finds_single_objects_and_with_permuted_names_none(judge):
    pictures = [scene.picture for scene in SCENES]
    assert right(judge, pictures) >= 20
    assert right(permuted(judge), pictures) <= 2


def test_shuffled_objects_are_mostly_not_taken_for_whole_ones(judge):
    import random

    broken = []
    for number, scene in enumerate(SCENES):
        picture = scene.picture.copy()
        spoil(random.Random(number), picture, scene.objects[0].box)
        broken.append(picture)
    assert right(judge, broken) <= 8


def test_features_of_one_icon_in_two_places_are_more_alike_than_of_two_icons(judge):
    settings = SceneSettings(counts=(1,), tinted=0.0, patterned=0.0)
    scenes = [sample_scene("train", seed, settings) for seed in range(60)]
    vectors = look(judge, [scene.picture for scene in scenes]).describe()
    alike = vectors @ vectors.T
    same, other = [], []
    for i, a in enumerate(scenes):
        for j, b in enumerate(scenes[:i]):
            equal = (a.objects[0].name, a.objects[0].style) == (b.objects[0].name, b.objects[0].style)
            (same if equal else other).append(float(alike[i, j]))
    assert same and sum(same) / len(same) > sum(other) / len(other) + 0.2
