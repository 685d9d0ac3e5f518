"""Runs that stop and go on, averages, sheets."""

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import Linear

from concept_atelier.training.common import Ema, Run, cosine_rate, save_sheet, to_tensor


def make_run(folder):
    torch.manual_seed(3)
    net = nn.Sequential(Linear(3, 4), nn.BatchNorm1d(4))
    return Run(folder, {"net": net}, torch.optim.AdamW(net.parameters(), lr=0.1), {"lr": 0.1})


def take_step(run, seed):
    batch = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))
    run.optimiser.zero_grad()
    run.modules["net"](batch).sigmoid().square().sum().backward()
    run.optimiser.step()
    run.advance(5)


def contents(run):
    slots = run.optimiser.state_dict()["state"]
    tensors = dict(run.modules["net"].state_dict())
    tensors |= {f"ema.{key}": value for key, value in run.emas["net"].shadow.items()}
    return tensors | {f"{index}.{key}": value for index, slot in slots.items() for key, value in slot.items()}


def assert_same(a, b):
    assert (a.samples, a.emas["net"].steps) == (b.samples, b.emas["net"].steps)
    first, second = contents(a), contents(b)
    assert first.keys() == second.keys() and len(first) > 20
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_the_averages_warm_up_is_two_elevenths_then_three_twelfths():
    module = Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    ema = Ema(module, 0.999)
    nn.init.ones_(module.weight)
    ema.update(module)
    assert ema.shadow["weight"].item() == pytest.approx(9 / 11)
    ema.update(module)
    assert ema.shadow["weight"].item() == pytest.approx(9 / 11 / 4 + 3 / 4)


def test_the_averages_decay_ends_at_the_one_that_was_asked_for():
    module = Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    ema = Ema(module, 0.6)
    ema.steps = 1000
    nn.init.ones_(module.weight)
    ema.update(module)
    assert ema.shadow["weight"].item() == pytest.approx(0.4)


def test_a_run_goes_on_as_if_it_had_never_stopped(tmp_path):
    whole = make_run(tmp_path / "whole")
    first = make_run(tmp_path / "parts")
    for seed in range(3):
        take_step(whole, seed)
        take_step(first, seed)
    first.note(loss=0.5)
    first.save()
    second = make_run(tmp_path / "parts")
    assert_same(first, second)
    assert second.curve == first.curve
    take_step(whole, 3)
    take_step(second, 3)
    assert_same(whole, second)
    assert second.samples == 20


def test_the_log_holds_settings_counts_and_curve(tmp_path):
    run = make_run(tmp_path)
    take_step(run, 0)
    run.note(loss=2.0, psnr=20.0)
    run.save()
    log = json.loads((tmp_path / "log.json").read_text())
    assert log["settings"] == {"lr": 0.1} and log["samples"] == 5 and log["ema_steps"] == {"net": 1}
    (point,) = log["curve"]
    assert (point["samples"], point["loss"], point["psnr"]) == (5, 2.0, 20.0)


@pytest.mark.parametrize("stage", ["fsync", "replace"])
def test_a_save_that_is_cut_off_keeps_the_old_state(tmp_path, monkeypatch, stage):
    run = make_run(tmp_path)
    take_step(run, 0)
    run.save()

    def cut(*_):
        raise KeyboardInterrupt

    take_step(run, 1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, stage, cut)
        run.save()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.json", "state.safetensors"]
    expected = make_run(tmp_path / "elsewhere")
    take_step(expected, 0)
    assert_same(make_run(tmp_path), expected)


def test_a_state_without_its_log_is_enough_to_go_on(tmp_path):
    run = make_run(tmp_path)
    take_step(run, 0)
    run.note(loss=1.0)
    run.save()
    (tmp_path / "log.json").unlink()
    again = make_run(tmp_path)
    assert_same(run, again)
    assert again.curve == []


def test_a_sheet_shows_the_pictures_it_was_given(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    row = to_tensor(pictures)
    assert row.min() >= -1 and row.max() <= 1
    save_sheet(tmp_path / "new/sheet.png", [row, -row])
    sheet = np.asarray(Image.open(tmp_path / "new/sheet.png"))
    assert sheet.shape == (8, 15, 3)
    assert np.array_equal(sheet[:4, 5:10], pictures[1])
    assert np.array_equal(sheet[4:, 10:], 255 - pictures[2])


def test_the_rate_warms_up_and_falls_to_zero():
    assert cosine_rate(0.0) == pytest.approx(0.01)
    assert cosine_rate(0.5) == pytest.approx(0.5)
    assert cosine_rate(1.0) == pytest.approx(0)
