"""The counter's trainer, in runs of a few steps."""

import json
from dataclasses import replace

import pytest
import torch

from concept_atelier.core.files import load_tensors, save_tensors
from concept_atelier.lab.judge.counter import CounterNet
from concept_atelier.lab.judge.judge import load_judge
from concept_atelier.lab.judge.scenes import JudgedSettings, draw_judged
from concept_atelier.training.counter import CounterSettings, counts_right, in_objects, train_counter
from concept_atelier.training.judge import draw_some, restore_half

SCENES = JudgedSettings(size=(64, 64), counts=(2,), alike=1.0, broken=0.0, sides=(0.3, 0.4))
TINY = CounterSettings(samples=4, batch=2, pool=4, judged=4, scenes=(SCENES,))


@pytest.fixture
def files(tmp_path, lab_modules):
    save_tensors(tmp_path / "vae.safetensors", lab_modules.vae.state_dict())
    save_tensors(tmp_path / "judge.safetensors", load_judge().network.state_dict())
    return tmp_path / "vae.safetensors", tmp_path / "judge.safetensors"


def test_a_run_ends_with_weights_and_goes_on(tmp_path, files):
    train_counter(tmp_path / "run", *files, TINY)
    first = load_tensors(tmp_path / "run/counter.safetensors")[0]
    CounterNet().load_state_dict(first)
    train_counter(tmp_path / "run", *files, replace(TINY, samples=8))
    log = json.loads((tmp_path / "run/log.json").read_text())
    assert log["samples"] == 8 and any(key.startswith("right_of_") for key in log["curve"][-1])
    again = load_tensors(tmp_path / "run/counter.safetensors")[0]
    assert any(not torch.equal(first[key], again[key]) for key in first)


def test_the_same_seed_trains_the_same(tmp_path, files):
    for name in ("a", "b"):
        train_counter(tmp_path / name, *files, TINY)
    one, other = (load_tensors(tmp_path / name / "counter.safetensors")[0] for name in ("a", "b"))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_scenes_of_one_kind_are_drawn_where_they_are_asked_for():
    scenes = [draw_judged(seed, SCENES) for seed in range(6)]
    assert all(len(scene.names) == 2 and len(set(scene.names)) == 1 for scene in scenes)


def test_only_cells_of_objects_that_are_whole_are_learnt(lab_modules):
    pool = restore_half(lab_modules.vae, [draw_some((0, 4, replace(SCENES, broken=1.0)))], "cpu")
    assert not in_objects(pool).any()
    assert in_objects(restore_half(lab_modules.vae, [draw_some((0, 4, SCENES))], "cpu")).flatten(1).any(1).all()


def test_right_counts_are_told_by_how_often_a_kind_is_there():
    judge = load_judge()
    empty = torch.full((2, 3, 64, 64), 0.5)
    assert counts_right(judge, empty, [("cat",), ("dog", "dog")]) == {1: 0.0, 2: 0.0}
    scene = draw_judged(3, JudgedSettings(counts=(1,), broken=0.0, patterned=0.0))
    picture = torch.from_numpy(scene.picture).permute(2, 0, 1)[None].float() / 255
    assert counts_right(judge, picture, [scene.names]) == {1: 1.0}
