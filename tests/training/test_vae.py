"""The autoencoder's trainer, in runs of a few steps."""

import json
import random
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from concept_atelier.core.files import load_tensors, save_tensors
from concept_atelier.lab.model.vae import SCALING_FACTOR, LabVAE
from concept_atelier.lab.model.weights import FILES
from concept_atelier.training.common import to_tensor
from concept_atelier.training.vae import (
    VaeSettings,
    change,
    draw_crops,
    equivariance,
    evaluate,
    psnr,
    train_vae,
    turn,
    vae_loss,
)

TINY = VaeSettings(samples=8, batch=4, crop=32, pool=6, save_every=1000, judged=16)
CROPS = replace(TINY, pool=4)


def test_a_run_leaves_weights_log_and_pictures_and_goes_on(tmp_path):
    train_vae(tmp_path, TINY)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"log.json", "pictures.png", "state.safetensors", "vae.safetensors"}
    log = json.loads((tmp_path / "log.json").read_text())
    assert log["settings"] == json.loads(json.dumps({**asdict(TINY), "model": LabVAE().config}))
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
    target = to_tensor(draw_crops(CROPS))
    optimiser = torch.optim.AdamW(vae.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss, _, _ = vae_loss(vae, target, VaeSettings(), random.Random(0))
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

    loss, _, _ = vae_loss(Perfect(), torch.rand(1, 3, 16, 16), VaeSettings(kl=0.1), random.Random(0))
    assert loss.item() == pytest.approx(0.1 * 0.5 * 4)


def test_crops_are_drawn_by_seed_and_show_objects():
    crops = draw_crops(replace(CROPS, pool=5, seed=1))
    assert crops.shape == (5, 32, 32, 3) and crops.dtype == np.uint8
    assert np.array_equal(crops, draw_crops(replace(CROPS, pool=5, seed=1)))
    assert not np.array_equal(crops, draw_crops(replace(CROPS, pool=5, seed=2)))
    assert (crops.reshape(5, -1, 3).std(1).max(1) > 5).all()


def test_a_run_begins_with_the_weights_of_a_model_folder(tmp_path, lab_modules):
    save_tensors(tmp_path / "model" / FILES["vae"], lab_modules.vae.state_dict())
    train_vae(tmp_path / "run", replace(TINY, samples=4, learning_rate=0.0), tmp_path / "model")
    state = load_tensors(tmp_path / "run/state.safetensors")[0]
    known = lab_modules.vae.state_dict()
    assert all(torch.allclose(state[f"vae.{key}"], known[key], rtol=1e-3) for key in known)


def test_latent_and_picture_are_changed_in_the_same_way():
    """A latent that is the picture's mean colour in every cell stays that, whatever is done to both."""
    colours = torch.rand(1, 3, 8, 4, generator=torch.Generator().manual_seed(0))
    picture = colours.repeat_interleave(8, 2).repeat_interleave(8, 3)
    rng, shapes = random.Random(0), set()
    for _ in range(40):
        latent, changed = change(colours, picture, rng)
        means = torch.nn.functional.avg_pool2d(changed, 8)
        shapes.add(tuple(latent.shape[2:]))
        torch.testing.assert_close(means[..., 1:-1, 1:-1], latent[..., 1:-1, 1:-1], atol=0.12, rtol=0)
    assert shapes == {(8, 4), (4, 8), (6, 3), (3, 6), (4, 2), (2, 4)}


def test_an_autoencoder_that_commutes_scores_higher_than_one_that_does_not():
    class Means(torch.nn.Module):
        """Cells to their mean colour and back, told which cell is which where ``odd``."""

        def __init__(self, odd):
            super().__init__()
            self.odd = odd

        def encode(self, picture):
            latent = torch.nn.functional.avg_pool2d(picture, 8)
            return latent + self.mark(latent)

        def decode(self, latent):
            return (latent - self.mark(latent)).repeat_interleave(8, 2).repeat_interleave(8, 3)

        def mark(self, latent):
            return self.odd * torch.arange(latent.shape[3]) / latent.shape[3]

    smooth = torch.linspace(-1, 1, 64).view(1, 1, 64, 1).expand(1, 3, 64, 64)
    fair, unfair = equivariance(Means(0.0), smooth), equivariance(Means(0.5), smooth)
    assert fair["turned"] > unfair["turned"] + 5


def test_a_turn_is_one_of_eight_orientations():
    square = torch.arange(4.0).view(1, 1, 2, 2)
    rng = random.Random(0)
    seen = {tuple(turn(square, rng).flatten().tolist()) for _ in range(200)}
    assert len(seen) == 8


def test_signal_to_noise_of_a_known_error():
    picture = torch.zeros(2, 3, 8, 8)
    assert psnr(picture + 0.2, picture) == pytest.approx(20, abs=1e-4)
