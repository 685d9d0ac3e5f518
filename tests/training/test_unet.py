"""The trainer of denoiser and text encoder, in runs of a few steps."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from concept_atelier.core.files import load_tensors, save_tensors
from concept_atelier.lab.model.modules import build_text_encoder, build_unet
from concept_atelier.lab.model.weights import FILES
from concept_atelier.lab.world.scene import SceneSettings
from concept_atelier.training.dataset import LatentScenes, SceneOrder, cached_scenes, tokenize
from concept_atelier.training.machine import Machine
from concept_atelier.training.mixture import Pool, rate
from concept_atelier.training.team import Team
from concept_atelier.training.unet import (
    UnetInputs,
    UnetSettings,
    step_loss,
    train_on,
    train_unet,
    weights,
)

SMALL = SceneSettings(size=(32, 32), counts=(1,))
WIDE = SceneSettings(size=(32, 64), counts=(1,))
FIRST, SECOND = Pool("first", SMALL, 4, 2, 1), Pool("second", WIDE, 3, 2, 100)
TINY = UnetSettings(mixture=((FIRST, 0.5), (SECOND, 0.5)), samples=4, captions=2, sheet_every=0)
DRAWN = replace(TINY, sheet_every=20_000, prompts=("a cat", "a blue crab"))


@pytest.fixture(scope="module")
def parts(lab_modules, tmp_path_factory):
    """File of an untrained autoencoder."""
    folder = tmp_path_factory.mktemp("parts")
    save_tensors(folder / "vae.safetensors", lab_modules.vae.state_dict())
    return UnetInputs(folder / "vae.safetensors")


def read_log(folder):
    return json.loads((folder / "log.json").read_text())


def test_a_run_ends_stays_ended_and_goes_on(tmp_path, parts):
    train_unet(tmp_path, parts, DRAWN)
    assert {path.name for path in tmp_path.iterdir()} == {
        "average-0.9995",
        "log.json",
        "pictures-0000004.png",
        "scenes-first.safetensors",
        "scenes-second.safetensors",
        "state.safetensors",
        "text_encoder.safetensors",
        "unet.safetensors",
    }
    assert Image.open(tmp_path / "pictures-0000004.png").size == (2 * 32, 2 * 32)
    log = read_log(tmp_path)
    assert log["samples"] == 4 and log["settings"]["mixture"][0][0]["name"] == "first"
    drawn = (tmp_path / "scenes-first.safetensors").stat().st_mtime_ns
    state = load_tensors(tmp_path / "state.safetensors")[0]

    train_unet(tmp_path, parts, TINY)  # finished already: nothing changes
    kept = load_tensors(tmp_path / "state.safetensors")[0]
    assert state.keys() == kept.keys() and all(torch.equal(state[key], kept[key]) for key in state)

    train_unet(tmp_path, parts, replace(TINY, samples=8))
    again = read_log(tmp_path)
    assert again["samples"] == 8 and again["ema_steps"] == {"unet": 4, "text": 4}
    assert (tmp_path / "scenes-first.safetensors").stat().st_mtime_ns == drawn
    assert load_tensors(tmp_path / "scenes-second.safetensors")[0]["latents"].shape == (3, 4, 4, 8)
    for folder in (tmp_path, tmp_path / "average-0.9995"):
        build_unet().load_state_dict(load_tensors(folder / "unet.safetensors")[0])
        build_text_encoder().load_state_dict(load_tensors(folder / "text_encoder.safetensors")[0])


def test_a_new_run_begins_with_the_weights_of_a_model_folder_and_both_parts_learn(tmp_path, parts, lab_modules):
    start = {"unet": lab_modules.unet.state_dict(), "text_encoder": lab_modules.text_encoder.state_dict()}
    for part, state in start.items():
        save_tensors(tmp_path / "model" / FILES[part], state)
    still = replace(TINY, samples=4, learning_rate=0.0)
    train_unet(tmp_path / "still", replace(parts, start=tmp_path / "model"), still)
    train_unet(tmp_path / "moved", replace(parts, start=tmp_path / "model"), TINY)
    for part, name in (("unet", "unet.safetensors"), ("text_encoder", "text_encoder.safetensors")):
        kept = load_tensors(tmp_path / "still" / name)[0]
        moved = load_tensors(tmp_path / "moved" / name)[0]
        assert all(torch.allclose(kept[key], start[part][key]) for key in kept)
        assert not all(torch.allclose(moved[key], start[part][key]) for key in moved)


def test_scenes_may_be_drawn_by_other_processes_while_it_trains(tmp_path, parts):
    few = replace(TINY, mixture=((FIRST, 1.0),))
    train_unet(tmp_path, replace(parts, machine=Machine("cpu", drawers=1)), few)
    assert read_log(tmp_path)["samples"] == 4
    assert not list(tmp_path.glob("scenes-*"))  # they are not kept


def test_time_that_is_up_ends_the_run(tmp_path, parts):
    train_unet(tmp_path, parts, replace(TINY, samples=10**9, minutes=1e-4))
    assert read_log(tmp_path)["samples"] <= 4


class Ledger:
    """A run that only counts."""

    def __init__(self):
        self.samples, self.batches = 0, []
        self.modules = {"unet": build_unet(), "text": None}
        parameters = self.modules["unet"].parameters()
        self.optimiser = torch.optim.SGD([{"params": list(parameters), "share": 1.0}], lr=0)

    def progress(self, samples, minutes):
        return self.samples / samples

    def advance(self, samples):
        self.samples += samples
        self.batches.append(samples)

    def note(self, loss, progress):
        assert loss == loss and 0 <= progress <= 1


def test_each_pool_gets_its_share_of_the_samples(lab_modules, monkeypatch):
    monkeypatch.setattr("concept_atelier.training.unet.step_loss", lambda denoise, *_: denoise.unet.conv_in.bias.sum())
    few, many = replace(FIRST, batch=1), replace(SECOND, batch=4)
    scenes = LatentScenes(torch.zeros(3, 4, 4, 4), tokenize(["a cat"] * 3)[:, None])
    run = Ledger()
    torch.manual_seed(0)
    settings = replace(TINY, mixture=((few, 0.25), (many, 0.75)), samples=600, save_every=10**9)
    train_on(run, [scenes, scenes], lab_modules.vae, settings, Team())
    assert run.batches.count(1) / run.samples == pytest.approx(0.25, abs=0.06)


def test_a_missing_part_is_named(tmp_path, parts):
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors"):
        train_unet(tmp_path, replace(parts, vae=tmp_path / "nothing.safetensors"), TINY)


def test_weights_cap_the_ratio_at_five_and_stop_at_the_floor():
    ratio = torch.tensor([1000.0, 10.0, 5.0, 1.0, 0.01])
    alphas = (ratio / (1 + ratio)).double()
    found = weights(alphas, torch.arange(5), cap=5, least=0.15)
    expected = torch.tensor([0.15, 0.5, 1.0, 1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


class Silent:
    """A denoiser that predicts no noise, and keeps what it was given."""

    def __call__(self, noisy, timestep, context):
        self.context = context
        return torch.zeros_like(noisy)


def test_the_loss_of_a_silent_denoiser_is_the_mean_weight_of_unit_noise(lab_modules):
    torch.manual_seed(0)
    silent, tokens = Silent(), tokenize(["a cat"]).expand(64, -1)
    settings = UnetSettings(caption_dropout=1.0, snr_cap=1e9)
    alphas = torch.linspace(0.99, 0.01, 1000)
    loss = step_loss(silent, lab_modules.text_encoder, torch.zeros(64, 4, 8, 8), tokens, alphas, settings, 0.15)
    assert loss.item() == pytest.approx(1, abs=0.05)
    empty = lab_modules.text_encoder(tokenize([""])).last_hidden_state
    torch.testing.assert_close(silent.context, empty.expand(64, -1, -1))


def test_the_rate_warms_up_holds_and_falls_to_zero():
    settings = UnetSettings(cool_from=0.5)
    assert rate(0.0, 0, settings.cool_from) == pytest.approx(0.01)
    assert rate(0.4, 500, settings.cool_from) == 1
    assert rate(0.5 + 0.5 / 4, 500, settings.cool_from) == pytest.approx(0.5)  # 1 - sqrt(1/4)
    assert rate(1.0, 500, settings.cool_from) == rate(1.2, 500, settings.cool_from) == 0


def test_scenes_are_drawn_once_and_kept(tmp_path, lab_modules):
    path = tmp_path / "scenes.safetensors"
    drawn = cached_scenes(path, lab_modules.vae, SceneOrder(WIDE, 7, 3, 3))
    kept = cached_scenes(path, lab_modules.vae, SceneOrder(WIDE, 8, 3, 3))
    assert isinstance(kept, LatentScenes) and torch.equal(kept.latents, drawn.latents)
    assert drawn.latents.shape == (3, 4, 4, 8) and drawn.latents.dtype == torch.float16
    assert drawn.tokens.shape == (3, 3, 77) and torch.equal(kept.tokens, drawn.tokens)
    assert not torch.equal(drawn.tokens[0, 0], drawn.tokens[0, 1]) or not torch.equal(
        drawn.tokens[1, 0], drawn.tokens[1, 1]
    )
