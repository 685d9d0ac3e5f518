"""One command trains every part; what it leaves can be published."""

import pytest

from concept_atelier.lab.judge.judge import load_judge
from concept_atelier.lab.judge.scenes import JudgedSettings
from concept_atelier.lab.model.weights import load_lab_model, publish
from concept_atelier.lab.world.scene import SceneSettings
from concept_atelier.training.counter import CounterSettings
from concept_atelier.training.everything import (
    IN_TURN,
    LARGE,
    SIDE_BY_SIDE,
    Recipe,
    Timed,
    recipe_for,
    train_everything,
)
from concept_atelier.training.judge import JudgedShare, JudgeSettings
from concept_atelier.training.machine import Machine
from concept_atelier.training.mixture import Pool
from concept_atelier.training.tower import TowerSettings
from concept_atelier.training.unet import UnetSettings
from concept_atelier.training.vae import VaeSettings

POOL = Pool("tiny", SceneSettings(size=(32, 32), counts=(1,)), 4, 2, 1)
TINY = Recipe(
    VaeSettings(samples=4, batch=4, crop=32, pool=6, judged=16),
    UnetSettings(mixture=((POOL, 1.0),), samples=2, captions=1, sheet_every=0),
    TowerSettings(samples=4, batch=4, side=32, pool=4, judged=4),
    JudgeSettings(samples=2, judged=4, scenes=(JudgedShare(JudgedSettings(size=(64, 64), counts=(1,)), 4, 2, 1.0),)),
    CounterSettings(samples=2, batch=2, pool=2, judged=2, scenes=(JudgedSettings(size=(64, 64), counts=(2,)),)),
)


@pytest.mark.parametrize("drawers", [0, 1])
def test_what_an_unattended_training_leaves_is_published(tmp_path, drawers):
    """The command that a GPU is to run, on a CPU with tiny numbers: one part after the other, and with scenes drawn
    and the judge trained by other processes."""
    train_everything(tmp_path / "runs", 1000, Machine("cpu", drawers), recipe=TINY)
    packed = tmp_path / "runs/packed"
    files = list(packed.rglob("*.safetensors"))
    assert len(files) >= 6  # the denoiser does not fit into one file
    assert max(path.stat().st_size for path in files) < 16 << 20
    publish(packed, tmp_path / "model")
    assert not load_lab_model(tmp_path / "model").unet.training
    assert load_judge(tmp_path / "model/judge").names


def test_on_an_accelerator_only_time_ends_it_and_batches_are_large():
    recipe, small = recipe_for("cuda"), recipe_for("cpu")
    assert all(part.samples == 10**9 for part in (recipe.vae, recipe.unet, recipe.tower, recipe.judge))
    assert [pool.batch for pool, _ in recipe.unet.mixture] == [LARGE * pool.batch for pool, _ in small.unet.mixture]
    assert [share for _, share in recipe.unet.mixture] == [share for _, share in small.unet.mixture]


def test_a_part_gets_the_time_until_its_end(monkeypatch):
    now = 100.0
    monkeypatch.setattr("concept_atelier.training.everything.time.monotonic", lambda: now)
    timed = Timed(TINY, IN_TURN, 10)
    assert timed.settings("vae").minutes == pytest.approx(0.8)
    now += 60  # the autoencoder took longer than its share: the denoiser pays
    assert timed.settings("unet").minutes == pytest.approx(6.7)
    now += 600
    assert timed.settings("judge").minutes == pytest.approx(1 / 60)


def test_parts_end_in_the_order_in_which_they_are_trained():
    assert list(IN_TURN.values()) == sorted(IN_TURN.values()) and IN_TURN["counter"] == 1
    ends = [SIDE_BY_SIDE[part] for part in ("vae", "judge", "counter", "unet", "tower")]
    assert ends == sorted(ends) and ends[-1] < 1
