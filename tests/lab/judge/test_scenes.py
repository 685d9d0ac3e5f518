"""Scenes for the judge: what every cell is labelled, and what spoiling does."""

import random

import numpy as np
import pytest

from concept_atelier.lab.judge.scenes import (
    COLOURS,
    IGNORED,
    JudgedSettings,
    colour_index,
    cover_of,
    draw_judged,
    label_cells,
    spoil,
)
from concept_atelier.lab.world.atlas import load_atlas
from concept_atelier.lab.world.scene import SceneObject

NOTHING = len(load_atlas().kinds)


def thing(name, rows, columns, style="flat", colour=None):
    mask = np.zeros((32, 32), dtype=bool)
    mask[rows, columns] = True
    return SceneObject(name, name, style, colour, mask, (0, 0, 16, 16))


def test_cells_belong_to_what_covers_half_of_them_and_rims_to_nobody():
    cat = thing("cat", slice(0, 20), slice(0, 8), colour="blue")  # two cells and a half, one wide
    labels = label_cells((cat,), [False])
    row = load_atlas().kind("cat").row
    assert labels.shape == (3, 4, 4)
    assert labels[0, :, 0].tolist() == [row, row, row, NOTHING]
    thinner = label_cells((thing("cat", slice(0, 18), slice(0, 8)),), [False])
    assert thinner[0, :, 0].tolist() == [row, row, IGNORED, NOTHING]
    assert (labels[0, :, 1:] == NOTHING).all()
    assert labels[1, 0, 0] == load_atlas().styles.index("flat") and labels[1, 3, 0] == IGNORED
    assert labels[2, 0, 0] == colour_index("blue") == 1 + COLOURS.index("blue")


def test_a_spoiled_object_is_nothing_and_has_no_style():
    cat, dog = thing("cat", slice(0, 16), slice(0, 16)), thing("dog", slice(16, 32), slice(16, 32))
    labels = label_cells((cat, dog), [True, False])
    assert (labels[0, :2, :2] == NOTHING).all() and (labels[1:, :2, :2] == IGNORED).all()
    assert (labels[0, 2:, 2:] == load_atlas().kind("dog").row).all()


def test_cover_is_the_share_of_each_cell():
    mask = np.zeros((16, 24), dtype=bool)
    mask[:4, :8] = True
    assert cover_of(mask).tolist() == [[0.5, 0, 0], [0, 0, 0]]


def test_same_seed_same_scene_and_every_split_is_seen():
    one, again = draw_judged(5), draw_judged(5)
    assert np.array_equal(one.picture, again.picture) and np.array_equal(one.labels, again.labels)
    names = {name for seed in range(120) for name in draw_judged(seed).names}
    assert {load_atlas().kind(name).split for name in names} == {"train", "development", "test"}


def test_names_are_those_of_whole_objects():
    for seed in range(12):
        whole = draw_judged(seed, JudgedSettings(broken=0.0))
        labelled = set(whole.labels[0][whole.labels[0] >= 0].tolist()) - {NOTHING}
        assert {load_atlas().kinds[row].name for row in labelled} == set(whole.names)
        broken = draw_judged(seed, JudgedSettings(broken=1.0))
        assert broken.names == () and set(np.unique(broken.labels[0])) <= {NOTHING, IGNORED}


@pytest.mark.parametrize("seed", range(6))
def test_spoiling_changes_only_the_box(seed):
    picture = np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8)
    before = picture.copy()
    spoil(random.Random(seed), picture, (8, 12, 24, 24))
    assert not np.array_equal(picture[8:32, 12:36], before[8:32, 12:36])
    picture[8:32, 12:36] = before[8:32, 12:36]
    assert np.array_equal(picture, before)
