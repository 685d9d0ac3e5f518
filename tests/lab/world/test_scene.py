"""Scenes: every answer they give is true of the picture."""

from itertools import combinations

import numpy as np
import pytest

from concept_atelier.lab.world.atlas import load_atlas
from concept_atelier.lab.world.scene import TINTS, SceneSettings, apart, pair_split, sample_scene, tint


@pytest.fixture(scope="module")
def scenes():
    settings = SceneSettings(counts=(1, 2, 3, 4), tinted=0.3, synonyms=0.5)
    return [sample_scene("train", seed, settings) for seed in range(60)]


def test_same_seed_same_scene():
    a, b = sample_scene("test", 7), sample_scene("test", 7)
    assert a.caption == b.caption and np.array_equal(a.picture, b.picture)
    assert not np.array_equal(a.picture, sample_scene("test", 8).picture)
    assert not np.array_equal(a.picture, sample_scene("development", 7).picture)


def test_captions_say_what_is_there(scenes):
    for scene in scenes:
        words = scene.caption.replace(",", " ").split()
        for placed in scene.objects:
            assert placed.word in words
            assert placed.word in load_atlas().kind(placed.name).words
            assert placed.colour is None or placed.colour in words


def test_masks_are_disjoint_and_inside_their_boxes(scenes):
    for scene in scenes:
        assert np.sum([placed.mask for placed in scene.objects], axis=0).max() == 1
        for placed in scene.objects:
            top, left, height, width = placed.box
            inside = placed.mask[top : top + height, left : left + width]
            assert inside.sum() == placed.mask.sum() > 0


def test_mask_is_where_the_picture_changes():
    """Without its object a pixel would be background: on a plain ground the mask marks what differs from it."""
    agreements = []
    for seed in range(30):
        scene = sample_scene("train", seed, SceneSettings(patterned=0, counts=(1,)))
        corner = np.median(scene.picture[[0, 0, -1, -1], [0, -1, 0, -1]].astype(int), axis=0)
        changed = np.abs(scene.picture.astype(int) - corner).max(-1) > 12
        mask = scene.objects[0].mask
        agreements.append((changed & mask).sum() / (changed | mask).sum())
    assert np.median(agreements) > 0.85


def test_boxes_keep_the_gap(scenes):
    for scene in scenes:
        assert all(apart(a.box, b.box, 3) for a, b in combinations(scene.objects, 2))


def test_training_never_shows_held_out_pairs():
    for seed in range(200):
        scene = sample_scene("train", seed, SceneSettings(size=(32, 32), counts=(2, 3)))
        assert all(pair_split(a.name, b.name) == "train" for a, b in combinations(scene.objects, 2))


@pytest.mark.parametrize("split", ["development", "test"])
def test_held_out_scenes_hold_a_held_out_pair(split):
    for seed in range(40):
        scene = sample_scene(split, seed, SceneSettings(size=(32, 32), counts=(2, 3)))
        assert split in {pair_split(a.name, b.name) for a, b in combinations(scene.objects, 2)}


def test_unseen_scenes_hold_only_objects_of_the_split():
    names = {kind.name for kind in load_atlas().of_split("test")}
    for seed in range(20):
        scene = sample_scene("test", seed, SceneSettings(size=(32, 32), unseen=True))
        assert {placed.name for placed in scene.objects} <= names


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="unknown split 'dev'; expected one of train, development, test"):
        sample_scene("dev", 0)


def test_train_split_has_no_unseen_objects():
    with pytest.raises(ValueError, match="development or test"):
        sample_scene("train", 0, SceneSettings(unseen=True))


def test_pairs_are_symmetric_and_shared_out():
    names = [kind.name for kind in load_atlas().of_split("train")]
    splits = [pair_split(a, b) for a, b in combinations(names, 2)]
    assert all(pair_split(a, b) == pair_split(b, a) for a, b in combinations(names[:6], 2))
    assert 0.06 < splits.count("development") / len(splits) < 0.14
    assert 0.06 < splits.count("test") / len(splits) < 0.14


def test_not_square():
    scene = sample_scene("train", 3, SceneSettings(size=(64, 120)))
    assert scene.picture.shape == (64, 120, 3)
    assert all(placed.mask.shape == (64, 120) for placed in scene.objects)


def test_too_many_objects_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        sample_scene("train", 0, SceneSettings(counts=(2,), sides=(0.9, 1.0), gap=0.5))


def test_touching_objects_touch_and_stay_apart_elsewhere():
    def close(scene):
        return [any((grown(a.mask) & b.mask).any() for b in scene.objects if b is not a) for a in scene.objects]

    settings = SceneSettings(counts=(2, 3, 4), touching=1.0)
    for seed in range(15):
        scene = sample_scene("train", seed, settings)
        assert all(close(scene)), seed
        assert all(placed.mask.sum() > 0 for placed in scene.objects)
        for placed in scene.objects:
            top, left, height, width = placed.box
            assert top >= 0 and left >= 0 and top + height <= 128 and left + width <= 128
    assert not any(any(close(sample_scene("train", seed, SceneSettings(counts=(2,), gap=0.05)))) for seed in range(15))


def grown(mask):
    """A mask with the four neighbours of every pixel."""
    wide = mask.copy()
    wide[1:] |= mask[:-1]
    wide[:-1] |= mask[1:]
    wide[:, 1:] |= mask[:, :-1]
    wide[:, :-1] |= mask[:, 1:]
    return wide


def test_like_objects_share_their_name_and_the_caption_says_another():
    for seed in range(15):
        scene = sample_scene("test", seed, SceneSettings(counts=(2, 3), alike=1.0, touching=0.5))
        first, *_, last = scene.objects
        assert (first.name, first.word) == (last.name, last.word)
        assert f"another {last.word}" in scene.caption or (last.colour or last.style) in scene.caption
        assert "another" in scene.caption and not (first.mask & last.mask).any()


def test_what_is_switched_off_draws_nothing():
    plain = sample_scene("train", 4, SceneSettings(counts=(1,)))
    single = sample_scene("train", 4, SceneSettings(counts=(1,), touching=1.0, alike=1.0))
    assert plain.caption == single.caption and np.array_equal(plain.picture, single.picture)


@pytest.mark.parametrize("colour", TINTS)
def test_tint_takes_the_colour_and_keeps_the_shape(colour):
    icon = load_atlas().icon("panda", "noto")
    tinted = np.asarray(tint(icon, colour)).astype(float)
    plain = np.asarray(icon).astype(float)
    assert np.array_equal(tinted[..., 3], plain[..., 3])
    solid = plain[..., 3] > 200
    hue = np.array(TINTS[colour], float)
    mean = tinted[solid][:, :3].mean(0)
    others = [name for name in TINTS if name != colour]
    cosine = {n: np.dot(mean, np.array(TINTS[n], float)) / np.linalg.norm(TINTS[n]) for n in (colour, *others)}
    assert np.dot(mean, hue) > 0 and cosine[colour] >= sorted(cosine.values())[-3]
