"""The atlas: complete, distinct, and split so that unseen objects stay unseen."""

import numpy as np
import pytest

from concept_atelier.lab.world.atlas import SPLITS, TILE, TRAINING_HAND, load_atlas


def test_every_object_has_a_picture_by_every_hand():
    atlas = load_atlas()
    covered = (atlas.tiles[..., 3] >= 128).mean((2, 3))
    assert covered.shape == (len(atlas.kinds), 3)
    assert covered.min() > 0.15, "an icon is nearly empty"


def test_hands_differ():
    tiles = load_atlas().tiles[..., :3].astype(float)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(tiles[:, a] - tiles[:, b]).mean((1, 2, 3)).min() > 1


def test_words_are_unique_and_single():
    words = [word for kind in load_atlas().kinds for word in kind.words]
    assert len(words) == len(set(words))
    assert all(word.isalpha() and word.islower() for word in words)


def test_splits_are_disjoint_and_large_enough():
    atlas = load_atlas()
    parts = [{kind.name for kind in atlas.of_split(split)} for split in SPLITS]
    spare = {kind.name for kind in atlas.kinds if kind.split == "spare"}
    assert len(parts[0]) >= 40 and min(map(len, parts)) >= 20
    assert sum(map(len, parts)) + len(spare) == len(set().union(*parts, spare)) == len(atlas.kinds)


def test_synonym_finds_the_object():
    assert load_atlas().kind("spaceship").name == "rocket"
    assert load_atlas().icon("rocket", "flat").size == (TILE, TILE)


@pytest.mark.parametrize(
    "ask", [lambda a: a.kind("gnu"), lambda a: a.icon("cat", "oil"), lambda a: a.icon("cat", "flat", "mine")]
)
def test_unknown_names_say_what_there_is(ask):
    with pytest.raises(KeyError, match="the world has"):
        ask(load_atlas())


def test_unknown_split():
    with pytest.raises(ValueError, match="expected one of"):
        load_atlas().of_split("holdout")


def test_tiles_cannot_be_written_to():
    with pytest.raises(ValueError):
        load_atlas().tiles[0, 0, 0, 0, 0] = 1


def test_a_hand_that_was_a_style_once_is_not_taken_for_one():
    with pytest.raises(KeyError, match="'noto' is a hand, no longer a style"):
        load_atlas().icon("cat", "noto")


def test_hands_draw_the_same_object_in_ways_of_their_own():
    icons = [np.asarray(load_atlas().icon("cat", "flat", hand)) for hand in load_atlas().hands]
    assert not np.array_equal(icons[0], icons[1]) and not np.array_equal(icons[1], icons[2])
    assert np.array_equal(icons[load_atlas().hands.index(TRAINING_HAND)], np.asarray(load_atlas().icon("cat", "flat")))
