"""The autoencoder's trainer, in runs of a few steps."""

import json
import random
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from concept_atelier.core.files import load_tensors
from concept_atelier.lab.model.vae import SCALING_FACTOR, LabVAE
from concept_atelier.lab.train.common import to_tensor
from concept_atelier.lab.train.vae import VaeSettings, draw_crops, evaluate, psnr, train_vae, turn, vae_loss

TINY = VaeSettings(samples=8, batch=4, crop=32, pool=6, save_every=1000, judged=16)


def test_a_run_leaves_weights_log_and_pictures_and_goes_on(tmp_path):
    train_vae(tmp_path, TINY)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"log.json", "pictures.png", "state.safetensors", "vae.safetensors"}
    log = json.loads((tmp_path / "log.json").read_text())
    assert log["settings"] == {**asdict(TINY), "model": LabVAE().config}
    assert log["samples"] == 8
    vae = LabVAE()
    vae.load_state_dict(load_tensors(tmp_path / "vae.safetensors")[0])
    with torch.no_grad():
        _, pictures, _ = evaluate(vae, "development", TINY.judged)
        scaled = vae.encode(pictures) * SCALING_FACTOR
    torch.testing.assert_close(scaled.std((0, 2, 3)), torch.ones(4), atol=1e-3, rtol=0)
    assert log["curve"][-1]["latent_std"] == pytest.approx(scaled.std().item(), abs=1e-3)

    train_vae(tmp_path, replace(TINY, samples=12))
    again = json.loads((tmp_path / "log.json").read_text())
    assert again["samples"] == 12 and again["ema_steps"] == {"vae": 3}
    assert again["curve"][: len(log["curve"])] == log["curve"]


def test_a_few_pictures_are_soon_known():
    torch.manual_seed(0)
    vae = LabVAE(fine=16, coarse=32)
    target = to_tensor(draw_crops(4, 32, 0))
    optimiser = torch.optim.AdamW(vae.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss, _ = vae_loss(vae, target, VaeSettings())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_loss_of_a_perfect_autoencoder_is_its_divergence_alone():
    class Perfect:
        def moments(self, picture):
            self.picture = picture
            return torch.full((1, 4, 2, 2), 2.0), torch.zeros(1, 4, 2, 2)

        def decode(self, latent):
            return self.picture

    loss, _ = vae_loss(Perfect(), torch.rand(1, 3, 16, 16), VaeSettings(kl=0.1))
    assert loss.item() == pytest.approx(0.1 * 0.5 * 4)


def test_crops_are_drawn_by_seed_and_show_objects():
    crops = draw_crops(5, 32, 1)
    assert crops.shape == (5, 32, 32, 3) and crops.dtype == np.uint8
    assert np.array_equal(crops, draw_crops(5, 32, 1))
    assert not np.array_equal(crops, draw_crops(5, 32, 2))
    assert (crops.reshape(5, -1, 3).std(1).max(1) > 5).all()


def test_a_turn_is_one_of_eight_orientations():
    square = torch.arange(4.0).view(1, 1, 2, 2)
    rng = random.Random(0)
    seen = {tuple(turn(square, rng).flatten().tolist()) for _ in range(200)}
    assert len(seen) == 8


def test_signal_to_noise_of_a_known_error():
    picture = torch.zeros(2, 3, 8, 8)
    assert psnr(picture + 0.2, picture) == pytest.approx(20, abs=1e-4)
