"""The denoiser's trainer, in runs of a few steps."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from concept_atelier.core.files import load_tensors, save_tensors
from concept_atelier.lab.model.modules import build_unet
from concept_atelier.lab.train.dataset import LatentScenes, cached_scenes, tokenize
from concept_atelier.lab.train.team import Team
from concept_atelier.lab.train.unet import (
    CaptionEncoder,
    Pool,
    Stage,
    UnetInputs,
    UnetSettings,
    rate,
    step_loss,
    train_stage,
    train_unet,
    weights,
)
from concept_atelier.lab.world.scene import SceneSettings

SMALL = SceneSettings(size=(32, 32), counts=(1,))
WIDE = SceneSettings(size=(32, 64), counts=(1,))
FIRST, SECOND = Pool("first", SMALL, 4, 2, 1), Pool("second", WIDE, 3, 2, 100)
STAGES = (Stage(4, ((FIRST, 1.0),)), Stage(8, ((SECOND, 1.0),)))
TINY = UnetSettings(stages=STAGES, save_every=1000, prompts=("a cat", "a blue crab"))


@pytest.fixture(scope="module")
def parts(lab_modules, tmp_path_factory):
    """Files of an untrained autoencoder and text encoder."""
    folder = tmp_path_factory.mktemp("parts")
    save_tensors(folder / "vae.safetensors", lab_modules.vae.state_dict())
    save_tensors(folder / "text.safetensors", lab_modules.text_encoder.state_dict())
    return UnetInputs(folder / "vae.safetensors", folder / "text.safetensors")


def read_log(folder):
    return json.loads((folder / "log.json").read_text())


def test_a_run_ends_stays_ended_and_goes_on_to_a_further_stage(tmp_path, parts):
    first = replace(TINY, stages=STAGES[:1])
    train_unet(tmp_path, parts, first)
    assert {path.name for path in tmp_path.iterdir()} == {
        "log.json",
        "pictures-0000004.png",
        "scenes-first.safetensors",
        "state.safetensors",
        "unet.safetensors",
    }
    assert Image.open(tmp_path / "pictures-0000004.png").size == (2 * 32, 2 * 32)
    log = read_log(tmp_path)
    assert log["samples"] == 4 and log["settings"]["stages"][0]["shares"][0][0]["name"] == "first"
    drawn = (tmp_path / "scenes-first.safetensors").stat().st_mtime_ns
    state = load_tensors(tmp_path / "state.safetensors")[0]

    train_unet(tmp_path, parts, first)  # finished already: nothing changes
    kept = load_tensors(tmp_path / "state.safetensors")[0]
    assert state.keys() == kept.keys() and all(torch.equal(state[key], kept[key]) for key in state)

    train_unet(tmp_path, parts, TINY)
    again = read_log(tmp_path)
    assert again["samples"] == 8 and again["ema_steps"] == {"unet": 4}
    assert (tmp_path / "scenes-first.safetensors").stat().st_mtime_ns == drawn
    assert load_tensors(tmp_path / "scenes-second.safetensors")[0]["latents"].shape == (3, 4, 4, 8)
    assert Image.open(tmp_path / "pictures-0000008.png").size == (2 * 64, 2 * 32)
    build_unet().load_state_dict(load_tensors(tmp_path / "unet.safetensors")[0])


class Ledger:
    """A run that only counts."""

    def __init__(self):
        self.samples, self.batches = 0, []
        self.modules = {"unet": build_unet()}
        self.optimiser = torch.optim.SGD(self.modules["unet"].parameters(), lr=0)

    def advance(self, samples):
        self.samples += samples
        self.batches.append(samples)

    def note(self, loss):
        assert loss == loss


def test_a_mixed_stage_gives_each_pool_its_share_of_the_samples(lab_modules, monkeypatch):
    monkeypatch.setattr("concept_atelier.lab.train.unet.step_loss", lambda unet, *_: unet.conv_in.bias.sum())
    few, many = replace(FIRST, batch=1), replace(SECOND, batch=4)
    scenes = LatentScenes(torch.zeros(3, 4, 4, 4), tokenize(["a cat"] * 3))
    run, stage = Ledger(), Stage(600, ((few, 0.25), (many, 0.75)))
    torch.manual_seed(0)
    train_stage(run, stage, {few: scenes, many: scenes}, None, lab_modules.vae, replace(TINY, save_every=10**9), Team())
    assert run.batches.count(1) / run.samples == pytest.approx(0.25, abs=0.06)


def test_a_missing_part_is_named(tmp_path, parts):
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors"):
        train_unet(tmp_path, replace(parts, vae=tmp_path / "nothing.safetensors"), TINY)


def test_weights_cap_the_ratio_at_five_and_stop_at_the_floor():
    ratio = torch.tensor([1000.0, 10.0, 5.0, 1.0, 0.01])
    alphas = (ratio / (1 + ratio)).double()
    found = weights(alphas, torch.arange(5), UnetSettings(snr_cap=5, least_weight=0.15))
    expected = torch.tensor([0.15, 0.5, 1.0, 1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


def test_the_loss_of_a_silent_denoiser_is_the_mean_weight_of_unit_noise(lab_modules):
    class Silent:
        def __call__(self, noisy, timestep, context):
            self.context, self.sample = context, torch.zeros_like(noisy)
            return self

    torch.manual_seed(0)
    encode, silent = CaptionEncoder(lab_modules.text_encoder), Silent()
    tokens = tokenize(["a cat"]).expand(64, -1)
    settings = UnetSettings(caption_dropout=1.0, snr_cap=1e9)
    loss = step_loss(silent, encode, torch.zeros(64, 4, 8, 8), tokens, torch.linspace(0.99, 0.01, 1000), settings)
    assert loss.item() == pytest.approx(1, abs=0.05)
    assert torch.equal(silent.context, encode(tokenize([""])).expand(64, -1, -1))


def test_the_rate_warms_up_holds_and_falls():
    settings = UnetSettings(decay_from=0.5, final_rate=0.1)
    assert rate(0.0, 0, settings) == pytest.approx(0.01)
    assert rate(0.4, 500, settings) == 1
    assert rate(0.75, 500, settings) == pytest.approx(0.55)
    assert rate(1.0, 500, settings) == pytest.approx(0.1)


def test_captions_are_encoded_once_and_as_the_encoder_says(lab_modules):
    encode = CaptionEncoder(lab_modules.text_encoder)
    tokens = tokenize(["a cat", "a dog", "a cat"])
    found = encode(tokens)
    with torch.no_grad():
        expected = lab_modules.text_encoder(tokens).last_hidden_state
    torch.testing.assert_close(found, expected, atol=4e-3, rtol=2e-3)
    assert len(encode.kept) == 2
    assert torch.equal(encode(tokens[:1]), found[2:])


def test_scenes_are_drawn_once_and_kept(tmp_path, lab_modules):
    path = tmp_path / "scenes.safetensors"
    drawn = cached_scenes(path, lab_modules.vae, 3, WIDE, 7)
    kept = cached_scenes(path, lab_modules.vae, 3, WIDE, 8)
    assert isinstance(kept, LatentScenes) and torch.equal(kept.latents, drawn.latents)
    assert drawn.latents.shape == (3, 4, 4, 8) and drawn.latents.dtype == torch.float16
    assert drawn.tokens.shape == (3, 77) and torch.equal(kept.tokens, drawn.tokens)
