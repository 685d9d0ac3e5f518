"""What is in scenes of the lab, and where."""

import pytest
import torch

from concept_atelier.lab.model.handles import load_handles
from concept_atelier.lab.model.vision import load_vision
from concept_atelier.lab.world.scene import SceneSettings, sample_scene
from concept_atelier.nodes import ConceiveAndSegment


@pytest.fixture(scope="module")
def pair():
    return {"clip_vision": load_vision(), "clip": load_handles()[1]}


@pytest.fixture(scope="module")
def scenes():
    found = [sample_scene("train", seed, SceneSettings(counts=(1,))) for seed in range(6)]
    pictures = torch.stack([torch.from_numpy(scene.picture.copy()).float() / 255 for scene in found])
    masks = torch.stack([torch.from_numpy(scene.objects[0].mask) for scene in found])
    return pictures, [scene.objects[0].name for scene in found], masks


def test_objects_are_named_and_found(call, pair, scenes):
    pictures, names, truth = scenes
    vocabulary = "\n".join(dict.fromkeys([*names, "cat", "rocket", "tree", "fish"]))
    given = {"pictures": pictures, **pair, "vocabulary": vocabulary, "template": "a drawing of a {}"}
    given["names"] = "\n".join(f"{number}.png" for number in range(len(pictures)))
    masks, over, words, scores, report = call(ConceiveAndSegment, **given, surety=1.0, share=0.6)
    found = words.splitlines()
    by_word = masks.unflatten(0, (len(found), len(pictures)))
    assert over.shape[0] == len(pictures) == len(scores) and scores.names == tuple(found)
    assert [line.split(": ")[0] for line in report.splitlines()] == list(scores.pictures) == given["names"].splitlines()
    right = [number for number, name in enumerate(names) if name in report.splitlines()[number]]
    assert len(right) >= 3  # by chance one
    inside = [float(by_word[found.index(names[n]), n][truth[n]].mean()) for n in right]
    outside = [float(by_word[found.index(names[n]), n][~truth[n]].mean()) for n in right]
    assert sum(inside) / len(right) > 2 * sum(outside) / len(right)
    assert bool(((by_word == 0) | (by_word == 1)).all()) and float(by_word.sum(0).max()) == 1
    soft = call(ConceiveAndSegment, **given, surety=1.0, threshold=0.0)[0]
    assert bool(((soft > 0) & (soft < 1)).any())


def test_nothing_that_stands_out_is_said(call, pair, scenes):
    given = {"pictures": scenes[0][:1], **pair, "vocabulary": "purple, checks, dots"}
    with pytest.raises(ValueError, match="no word of the vocabulary stands out in any picture; the nearest is"):
        call(ConceiveAndSegment, **given, surety=9.0)
    assert "template" in str(ConceiveAndSegment.validate_inputs(template="no place"))


def test_the_vocabulary_may_be_left_empty(call, pair, scenes):
    assert call(ConceiveAndSegment, pictures=scenes[0], **pair)[2]
