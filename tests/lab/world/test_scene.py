"""Scenes: every answer they give is true of the picture."""

import random
from itertools import combinations

import numpy as np
import pytest

from concept_atelier.lab.world.atlas import TRAINING_HAND, load_atlas
from concept_atelier.lab.world.captions import NUMBERS, plural
from concept_atelier.lab.world.placing import apart
from concept_atelier.lab.world.scene import (
    TINTS,
    SceneSettings,
    caption_again,
    pair_split,
    sample_scene,
    tint,
)


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
            assert placed.word in words or (plural(placed.word) in words and scene.count(placed.name) > 1)
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


def test_like_objects_share_name_and_colour_and_the_caption_says_how_many():
    for seed in range(30):
        scene = sample_scene("test", seed, SceneSettings(counts=(2, 3), alike=1.0, touching=0.5))
        first, *_, last = scene.objects
        number = scene.count(first.name)
        assert (first.name, first.word, first.colour) == (last.name, last.word, last.colour) and number > 1
        words = scene.caption.replace(",", " ").split()
        assert (NUMBERS[number] in words and plural(first.word) in words) or words.count("another") == number - 1
        assert not (first.mask & last.mask).any()


def test_places_and_relations_are_those_of_the_picture():
    for seed in range(40):
        scene = sample_scene("train", seed, SceneSettings(counts=(2,), complete=1.0))
        for placed in scene.objects:
            rows, columns = placed.mask.nonzero()
            down, across = rows.mean() / 128, columns.mean() / 128
            if "left" in placed.place:
                assert across < 0.5
            if "bottom" in placed.place:
                assert down > 0.5
            if placed.place == "in the middle":
                assert abs(down - 0.5) < 0.2 and abs(across - 0.5) < 0.2
        first, second = scene.objects
        said, opposite = scene.relation(0, 1), scene.relation(1, 0)
        assert {said, opposite} in ({"left of", "right of"}, {"above", "below"})
        named = [r for r in ("left of", "right of", "above", "below") if f" {r} " in scene.caption]
        assert named in ([], [said])
        if not named and "another" not in scene.caption:
            assert first.place in scene.caption or second.place in scene.caption or "on the" not in scene.caption


def test_seven_captions_in_ten_are_complete():
    scenes = [sample_scene("train", seed, SceneSettings(size=(32, 32), counts=(1,))) for seed in range(400)]
    described = [
        f"on {scene.background.words}" in scene.caption and scene.objects[0].style in scene.caption for scene in scenes
    ]
    placed = [scene.objects[0].place in scene.caption for scene in scenes]
    assert 0.68 < np.mean(described) < 0.85  # some short ones happen to tell both
    assert 0.5 < np.mean(placed) < 0.7
    short = [sample_scene("train", seed, SceneSettings(size=(32, 32), complete=0.0)) for seed in range(50)]
    assert not any(word in scene.caption for scene in short for word in ("large", "small", "middle", "left", "above"))


def test_bound_colours_differ_from_object_to_object_and_stand_before_their_words():
    for seed in range(20):
        scene = sample_scene("train", seed, SceneSettings(counts=(2, 3), bound=1.0))
        colours = [placed.colour for placed in scene.objects]
        assert None not in colours and len(set(colours)) == len(colours)
        assert all(f"{placed.colour} {placed.word}" in scene.caption for placed in scene.objects)


def test_covered_objects_lose_a_part_and_say_how_much_is_left():
    for seed in range(15):
        scene = sample_scene("train", seed, SceneSettings(counts=(2, 3), covered=1.0, patterned=0))
        assert scene.objects[-1].visible == 1
        assert 0.5 < min(placed.visible for placed in scene.objects) < 0.86
        assert np.sum([placed.mask for placed in scene.objects], axis=0).max() == 1
    apart = sample_scene("train", 0, SceneSettings(counts=(3,)))
    assert all(placed.visible == 1 for placed in apart.objects)


def test_another_caption_describes_the_same_scene_in_other_words():
    scene = sample_scene("train", 3, SceneSettings(counts=(2,)))
    captions = {caption_again(random.Random(i), scene, SceneSettings()) for i in range(12)}
    assert len(captions) > 4
    for caption in captions:
        for placed in scene.objects:
            assert any(word in caption for word in load_atlas().kind(placed.name).words)


def test_scenes_are_drawn_by_the_hands_that_are_asked_for():
    assert {sample_scene("train", seed).objects[0].hand for seed in range(5)} == {TRAINING_HAND}
    seen = {sample_scene("train", seed, SceneSettings(hands=("noto", "twemoji"))).objects[0].hand for seed in range(12)}
    assert seen == {"noto", "twemoji"}


def test_what_is_switched_off_draws_nothing():
    plain = sample_scene("train", 4, SceneSettings(counts=(1,)))
    single = sample_scene("train", 4, SceneSettings(counts=(1,), touching=1.0, alike=1.0))
    assert plain.caption == single.caption and np.array_equal(plain.picture, single.picture)


@pytest.mark.parametrize("colour", TINTS)
def test_tint_takes_the_colour_and_keeps_the_shape(colour):
    icon = load_atlas().icon("panda", "flat")
    tinted = np.asarray(tint(icon, colour)).astype(float)
    plain = np.asarray(icon).astype(float)
    assert np.array_equal(tinted[..., 3], plain[..., 3])
    solid = plain[..., 3] > 200
    hue = np.array(TINTS[colour], float)
    mean = tinted[solid][:, :3].mean(0)
    others = [name for name in TINTS if name != colour]
    cosine = {n: np.dot(mean, np.array(TINTS[n], float)) / np.linalg.norm(TINTS[n]) for n in (colour, *others)}
    assert np.dot(mean, hue) > 0 and cosine[colour] >= sorted(cosine.values())[-3]
