"""The judge's trainer, in runs of a few steps."""

import json
from dataclasses import replace

import pytest
import torch

from concept_atelier.core.files import load_tensors, save_tensors
from concept_atelier.host.files.saving import save_json
from concept_atelier.lab.judge.judge import build_network
from concept_atelier.lab.judge.network import JudgeNet
from concept_atelier.lab.judge.scenes import COLOURS, JudgedSettings
from concept_atelier.lab.model.weights import JUDGE_CONFIG, JUDGE_FILE
from concept_atelier.lab.world.atlas import load_atlas
from concept_atelier.training.judge import (
    JudgedPool,
    JudgedShare,
    JudgeSettings,
    augment,
    calibrate,
    draw_some,
    in_parts,
    judge_loss,
    known_to,
    names_to_row,
    restore_half,
    scaled,
    train_judge,
)

SMALL = JudgedSettings(size=(64, 64), counts=(1,))
WIDE = JudgedSettings(size=(64, 96), counts=(2,))
KINDS = (JudgedShare(WIDE, 4, 2, 0.5), JudgedShare(SMALL, 6, 4, 0.5))
TINY = JudgeSettings(samples=8, save_every=1000, judged=8, scenes=KINDS)


def drawn_pool(vae):
    return restore_half(vae, [draw_some(task) for task in in_parts(8, 0, replace(SMALL, broken=0.0))], "cpu")


@pytest.fixture(scope="module")
def pool(lab_modules):
    return drawn_pool(lab_modules.vae)


def test_a_run_ends_with_weights_and_a_threshold_and_goes_on(tmp_path, lab_modules):
    save_tensors(tmp_path / "vae.safetensors", lab_modules.vae.state_dict())
    train_judge(tmp_path / "run", tmp_path / "vae.safetensors", TINY)
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert 0 < config["threshold"] < 1 and len(config["names"]) == len(load_atlas().kinds)
    build_network().load_state_dict(load_tensors(tmp_path / "run/judge.safetensors")[0])
    train_judge(tmp_path / "run", tmp_path / "vae.safetensors", replace(TINY, samples=12))
    assert json.loads((tmp_path / "run/log.json").read_text())["samples"] in (12, 14)  # steps are of 2 or 4


def test_a_judge_of_a_smaller_world_is_taken_over_with_its_rows_in_place(tmp_path):
    names = [kind.name for kind in load_atlas().kinds]
    small = build_network(names[:-2])
    save_tensors(tmp_path / JUDGE_FILE, small.state_dict())
    save_json(tmp_path / JUDGE_CONFIG, {"names": names[:-2], "styles": load_atlas().styles})
    large = build_network()
    fresh = large.heads.weight.detach().clone()
    large.load_state_dict(known_to(large, tmp_path))
    pictures = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before, after = small(pictures), large(pictures)
    known = [*range(len(names) - 2), len(names)]
    torch.testing.assert_close(after.objects[:, known], before.objects)
    torch.testing.assert_close(after.styles, before.styles)
    torch.testing.assert_close(after.colours, before.colours)
    assert torch.equal(large.heads.weight[len(names) - 2 : len(names)], fresh[len(names) - 2 : len(names)])


def test_a_judge_of_other_styles_is_taken_over_without_them(tmp_path):
    names = [kind.name for kind in load_atlas().kinds]
    old = JudgeNet(len(names), 3, len(COLOURS))
    save_tensors(tmp_path / JUDGE_FILE, old.state_dict())
    save_json(tmp_path / JUDGE_CONFIG, {"names": names})
    new = build_network()
    fresh = new.heads.weight.detach().clone()
    new.load_state_dict(known_to(new, tmp_path))
    pictures = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before, after = old(pictures), new(pictures)
    torch.testing.assert_close(after.objects, before.objects)
    torch.testing.assert_close(after.colours, before.colours)
    styles = slice(len(names) + 1, len(names) + 1 + len(load_atlas().styles))
    assert torch.equal(new.heads.weight[styles], fresh[styles])


def test_every_second_scene_has_been_through_the_autoencoder(pool, lab_modules):
    again = drawn_pool(lab_modules.vae)
    assert torch.equal(again.pictures, pool.pictures) and pool.pictures.dtype == torch.uint8
    restored = lab_modules.vae.decode(lab_modules.vae.encode(scaled(pool.pictures[:1])))
    assert (restored - scaled(pool.pictures[:1])).abs().mean() > 0.05  # an untrained one cannot give it back
    assert pool.present.sum(1).tolist() == [1] * 8


def test_training_lowers_the_loss(pool):
    torch.manual_seed(0)
    network = build_network()
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    pictures, labels = scaled(pool.pictures), pool.labels.long()
    first = judge_loss(network, pictures, labels, TINY).item()
    for _ in range(15):
        optimiser.zero_grad()
        judge_loss(network, pictures, labels, TINY).backward()
        optimiser.step()
    assert judge_loss(network, pictures, labels, TINY).item() < 0.6 * first


def test_labels_move_with_mirrored_pictures(pool):
    quiet = replace(TINY, noise=0.0)
    pictures, labels = scaled(pool.pictures), pool.labels.long()
    mirrored = plain = 0
    for seed in range(12):
        _, moved = augment(pictures, labels, quiet, torch.Generator().manual_seed(seed))
        mirrored += torch.equal(moved, labels.flip(3))
        plain += torch.equal(moved, labels)
    assert mirrored + plain == 12 and mirrored and plain


def test_the_threshold_parts_what_is_there_from_what_is_not(monkeypatch):
    class Told:
        def __init__(self, presence):
            self.presence = lambda: presence

    present = torch.stack([names_to_row(("cat",)), names_to_row(())])
    presence = torch.where(present, 0.7, 0.35)
    monkeypatch.setattr("concept_atelier.training.judge.Judge.look", lambda *_: Told(presence))
    threshold, share = calibrate(None, JudgedPool(torch.zeros(2, 3, 8, 8), torch.zeros(0), torch.zeros(0), present))
    assert share == 1 and 0.45 < threshold < 0.6  # the middle of those that part them
