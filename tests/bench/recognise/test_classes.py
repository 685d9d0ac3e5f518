"""``bench recognise`` of heads, words and captions: cases with exact answers, and runs on few pictures."""

import pytest
import torch

from concept_atelier.bench.harness import Request, run
from concept_atelier.bench.recognise import heads, withheld, words
from concept_atelier.bench.recognise.class_cases import KINDS, make_class_folder
from concept_atelier.core.recognise.heads.registry import LAYERS


@pytest.fixture(scope="module")
def folder():
    return make_class_folder("development", 0, 0, 16)


def test_a_folder_says_what_each_picture_is(folder):
    assert folder.pictures.shape == (16, 3, 128, 128) and set(folder.classes) == set(KINDS)
    assert torch.bincount(folder.labels["object"]).tolist() == [2] * 8
    assert bool((folder.masks.flatten(1).sum(1) > 300).all())
    names, present = folder.present()
    assert present.shape == (16, len(names)) and present.sum(1).tolist() == [3] * 16
    assert names[:8] == list(folder.classes["object"])


def test_splits_share_no_pictures_and_longer_folders_begin_alike(folder):
    assert torch.equal(make_class_folder("development", 0, 0, 18).pictures[:16], folder.pictures)
    assert not torch.equal(make_class_folder("test", 0, 0, 16).pictures, folder.pictures)


def test_one_false_concept_is_put_into_one_wrong_class():
    scores = torch.rand(6, 4, 5, generator=torch.Generator().manual_seed(0))
    truth = torch.tensor([0, 1, 2, 3, 0, 1])
    generator = torch.Generator().manual_seed(0)
    changed = words._spoiled(scores, truth, "false concept", generator) != scores
    assert changed.flatten(1).sum(1).tolist() == [1] * 6 and not bool(changed[torch.arange(6), truth].any())
    assert torch.equal(words._spoiled(scores, truth, "as it is", generator), scores)
    far = words._spoiled(scores, truth, "far false concept", torch.Generator().manual_seed(0))
    assert torch.equal(far != scores, changed) and float(far.amax()) > 3
    low = words._spoiled(scores, truth, "misleading concept", generator)
    assert bool((low[torch.arange(6), truth].amin(1) == scores.flatten(1).amin(1)).all())


def test_a_perfect_map_has_every_point_and_an_even_one_the_share_of_the_thing(folder):
    perfect, even = folder.masks.float(), torch.ones(len(folder.masks), 16, 16)
    found = heads._places(perfect, folder, perfect, folder)
    assert found["pointing"] == found["energy"] == found["iou"] == 1
    found = heads._places(even, folder, even, folder)
    assert found["energy"] == found["iou"] == found["area"] < 0.5


def test_runs_on_few_pictures():
    found = run(heads.BENCH, Request(1, options={"pictures": 64}))
    accuracy = found["summary"]["accuracy"]
    permuted = found["summary"]["permuted"]["colour"]
    assert accuracy["colour"]["probe"]["mean"] > 0.4 > max(one["mean"] for one in permuted.values())
    assert set(permuted) == set(LAYERS)
    assert "local layer" in heads.table(found)
    found = run(words.BENCH, Request(1, options={"pictures": 48}))
    assert found["summary"]["object"]["prompt"]["mean"] > 0.3 and "false concept" in words.table(found)
    restored = run(withheld.BENCH, Request(1, options={"pictures": 40, "windows": False}))
    assert restored["summary"]["planted"] == 1 and 0.3 < restored["summary"]["near"]["mean"] <= 1
    assert "withheld words" in withheld.table(restored)
