"""The trainer of the transformer, in runs of a few steps."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from concept_atelier.core.files import load_tensors, save_tensors
from concept_atelier.host.adapters import backbone_of
from concept_atelier.host.headless.flux import velocity
from concept_atelier.lab.model.handles import load_handles
from concept_atelier.lab.model.modules import build_unet
from concept_atelier.lab.model.transformer import POOLED, TRANSFORMER_FILE, build_transformer, fill, load_transformer
from concept_atelier.lab.model.weights import FILES, publish_transformer
from concept_atelier.lab.world.scene import SceneSettings
from concept_atelier.training.alignment import Alignment
from concept_atelier.training.attention import attend_by_matrices
from concept_atelier.training.dataset import tokenize
from concept_atelier.training.mixture import Pool
from concept_atelier.training.transformer import (
    Teacher,
    TransformerInputs,
    TransformerSettings,
    flow_loss,
    in_blocks,
    length_of,
    noise_levels,
    shares,
    train_transformer,
)

SMALL = SceneSettings(size=(32, 32), counts=(1,))
WIDE = SceneSettings(size=(32, 64), counts=(1,))
FIRST, SECOND = Pool("first", SMALL, 4, 2, 1), Pool("second", WIDE, 3, 2, 100)
TINY = TransformerSettings(mixture=((FIRST, 0.5), (SECOND, 0.5)), samples=4, captions=2)


@pytest.fixture(scope="module")
def inputs(lab_modules, tmp_path_factory):
    """A model folder with random weights."""
    folder = tmp_path_factory.mktemp("model")
    for part, name in FILES.items():
        save_tensors(
            folder / name, {key: value.clone() for key, value in getattr(lab_modules, part).state_dict().items()}
        )
    return TransformerInputs(folder)


@pytest.fixture(scope="module")
def run(inputs, tmp_path_factory):
    """The folder of a training that ended."""
    folder = tmp_path_factory.mktemp("run")
    train_transformer(folder, inputs, TINY)
    return folder


def test_a_run_ends_stays_ended_and_goes_on(tmp_path, inputs, run):
    shutil.copytree(run, tmp_path, dirs_exist_ok=True)
    assert {path.name for path in tmp_path.iterdir()} == {
        "average-0.9998",
        "log.json",
        "scenes-first.safetensors",
        "scenes-second.safetensors",
        "state.safetensors",
        "transformer.safetensors",
    }
    state = load_tensors(tmp_path / "state.safetensors")[0]
    train_transformer(tmp_path, inputs, TINY)  # finished already: nothing changes
    kept = load_tensors(tmp_path / "state.safetensors")[0]
    assert state.keys() == kept.keys() and all(torch.equal(state[key], kept[key]) for key in state)

    train_transformer(tmp_path, inputs, replace(TINY, samples=8))
    assert json.loads((tmp_path / "log.json").read_text())["samples"] == 8
    trained = load_tensors(tmp_path / "transformer.safetensors")[0]
    assert not any(key.startswith(POOLED) for key in trained)
    transformer = build_transformer()
    fill(transformer, trained)
    assert any(
        bool((trained[key] != value).any()) for key, value in build_transformer().state_dict().items() if key in trained
    )


def test_a_trained_transformer_is_published_and_loaded(tmp_path, inputs, run, lab_modules):
    shutil.copytree(run, tmp_path / "runs/transformer")
    shutil.copytree(inputs.model, tmp_path / "model")
    for name, text in (("training.json", "{}"), ("vae/config.json", json.dumps(lab_modules.vae.config))):
        (tmp_path / "model" / name).write_text(text)
    publish_transformer(tmp_path / "runs", tmp_path / "model")
    model, clip, vae = load_handles(tmp_path / "model", denoiser="transformer")
    backbone = backbone_of(model, clip, vae)
    noise = backbone.predict_noise(torch.randn(1, 4, 4, 4), torch.tensor([500]), backbone.encode_text(["a cat"]))
    assert bool(torch.isfinite(noise).all()) and backbone.family == "lab_flux"
    assert (tmp_path / "model" / TRANSFORMER_FILE).stat().st_size < 15 << 20
    assert json.loads((tmp_path / "model/training.json").read_text())["transformer"]["samples"] == 4


def test_a_new_run_may_begin_with_a_transformer_that_is_there(tmp_path, inputs, run):
    trained = load_tensors(run / "transformer.safetensors")[0]
    folder = tmp_path / "model"
    shutil.copytree(inputs.model, folder)
    save_tensors(folder / TRANSFORMER_FILE, trained)
    standing = replace(TINY, learning_rate=0.0, samples=2)
    train_transformer(tmp_path / "second", replace(inputs, model=folder, goes_on=True), standing)
    train_transformer(tmp_path / "anew", replace(inputs, model=folder), standing)
    second, anew = (load_tensors(tmp_path / run / "transformer.safetensors")[0] for run in ("second", "anew"))
    assert all(torch.allclose(second[key], value) for key, value in trained.items())
    assert not all(torch.allclose(anew[key], value) for key, value in trained.items())


def test_missing_weights_say_so_and_how_to_train_them(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the lab transformer is missing.*lab train transformer"):
        load_transformer(tmp_path)
    with pytest.raises(FileNotFoundError, match="transformer is not trained"):
        publish_transformer(tmp_path, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_two_workers_train_together(tmp_path, inputs):
    train_transformer(tmp_path, inputs, replace(TINY, distilled=0.0), workers=2)
    assert json.loads((tmp_path / "log.json").read_text())["samples"] == 4


def test_the_pooled_text_stays_without_effect():
    transformer = build_transformer()
    silent = [name for name, value in transformer.named_parameters() if not value.requires_grad]
    assert silent and all(POOLED in name for name in silent)
    assert all(float(transformer.get_parameter(name).abs().sum()) == 0 for name in silent)


@pytest.fixture(scope="module")
def teacher(lab_modules):
    unet = build_unet()
    unet.load_state_dict(lab_modules.unet.state_dict())
    return Teacher(unet)


def test_timesteps_of_a_teacher_are_the_nearest(teacher):
    levels = torch.linspace(0, 1, 200)
    distance = (teacher.shares - levels[:, None]).abs()  # (200, 1000)
    nearest = distance.gather(1, teacher.nearest(levels)[:, None])[:, 0]
    torch.testing.assert_close(nearest, distance.min(1).values)


def test_a_teacher_that_knows_the_noise_gives_the_velocity_of_the_flow(teacher):
    torch.manual_seed(0)
    clean, noise = torch.randn(2, 3, 4, 4, 8)
    timestep = torch.tensor([10, 400, 900])
    share = teacher.shares[timestep][:, None, None, None]
    noisy = (1 - share) * clean + share * noise

    class Knows(torch.nn.Module):
        def forward(self, seen, timestep, context):
            expected = teacher.alphas[timestep].sqrt()[:, None, None, None] * clean
            expected += (1 - teacher.alphas[timestep]).sqrt()[:, None, None, None] * noise
            torch.testing.assert_close(seen, expected)
            return SimpleNamespace(sample=noise)

    predicted = Teacher(Knows())(noisy, timestep, torch.zeros(3, 77, 192))
    torch.testing.assert_close(predicted, noise - clean, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("distilled", "aligned"), [(False, False), (True, False), (True, True)])
def test_the_loss_falls_on_one_batch(lab_modules, teacher, distilled, aligned):
    torch.manual_seed(0)
    transformer, alignment = build_transformer(), Alignment() if aligned else None
    given = (teacher if distilled else None, lab_modules.text_encoder)
    latent, tokens = torch.randn(4, 4, 4, 4), tokenize(["a cat"] * 4)
    optimiser = torch.optim.AdamW([p for p in transformer.parameters() if p.requires_grad], lr=3e-3)

    def loss():
        torch.manual_seed(1)
        return flow_loss(transformer, *given, latent, tokens, TINY, alignment=alignment)

    first = loss().item()
    for _ in range(6):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    assert loss().item() < 0.9 * first


def test_the_smallest_scenes_come_first():
    settings = replace(TINY, small_until=0.4)
    assert shares(settings, 0.39) == [1.0, 0.0] and shares(settings, 0.4) == [0.5, 0.5]


def test_short_text_ends_behind_the_longest_caption(lab_modules):
    tokens, read = tokenize(["a cat", "a blue crab on red", ""]), []
    assert length_of(tokens) == 7  # a start, five words, an end
    transformer = build_transformer()
    transformer.context_embedder.register_forward_hook(lambda module, given, rows: read.append(rows.shape[1]))
    for done in (0.2, 0.9):
        flow_loss(transformer, None, lab_modules.text_encoder, torch.randn(3, 4, 4, 4), tokens, TINY, done)
    assert read == [7, 77]


def test_noise_levels_are_peaked_and_reach_both_ends():
    torch.manual_seed(0)
    peaked, even = noise_levels(20_000, 0.0), noise_levels(20_000, 1.0)
    low = [float((levels < 0.1).float().mean()) for levels in (peaked, even)]
    assert low[0] == pytest.approx(0.014, abs=0.005)  # of a normal beyond 2.2 deviations
    assert low[1] == pytest.approx(0.1, abs=0.01)


def test_matrices_attend_as_the_layer_does():
    torch.manual_seed(0)
    transformer = build_transformer().requires_grad_(False)
    for parameter in transformer.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.02)
    given = torch.randn(2, 4, 4, 6), torch.tensor([0.2, 0.9]), torch.randn(2, 7, 192)
    before = velocity(transformer, *given)
    attend_by_matrices(transformer)
    torch.testing.assert_close(velocity(transformer, *given), before, rtol=1e-4, atol=1e-5)


def test_matrices_of_blocks_are_separated_from_their_modulation():
    names = [name for name, value in build_transformer().named_parameters() if value.ndim == 2]
    assert in_blocks("transformer_blocks.0.attn.to_q.weight") and not in_blocks(
        "transformer_blocks.0.norm1.linear.weight"
    )
    assert sum(map(in_blocks, names)) == 2 * 12 + 4 * 5
