"""What ``lab train`` and ``lab publish`` make of their arguments."""

import argparse
import os
from pathlib import Path

import pytest

from concept_atelier.commands import lab as cli
from concept_atelier.lab.model.transformer import TRANSFORMER_FILE
from concept_atelier.lab.model.weights import FILES, JUDGE_FILE
from concept_atelier.training.counter import CounterSettings
from concept_atelier.training.judge import JudgeSettings
from concept_atelier.training.machine import CPU, Machine
from concept_atelier.training.tower import TowerSettings
from concept_atelier.training.transformer import TransformerInputs, TransformerSettings
from concept_atelier.training.unet import UnetInputs, UnetSettings
from concept_atelier.training.vae import VaeSettings


def parse(*words):
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def calls(monkeypatch):
    """What each trainer was called with."""
    seen = []
    for part in (*cli.PARTS, "everything"):
        module = f"concept_atelier.training.{part}.train_{part}"
        monkeypatch.setattr(module, lambda *given, part=part: seen.append((part, *given)))
    return seen


def test_without_figures_the_recipe_is_used(tmp_path, calls):
    for part in cli.PARTS:
        assert cli.main(parse("train", part, "--runs", str(tmp_path))) == 0
    vae, text = tmp_path / "vae/vae.safetensors", tmp_path / "unet/text_encoder.safetensors"
    assert calls == [
        ("vae", tmp_path / "vae", VaeSettings(), None, CPU),
        ("unet", tmp_path / "unet", UnetInputs(vae), UnetSettings(), 1),
        ("transformer", tmp_path / "transformer", TransformerInputs(), TransformerSettings(), 1),
        ("tower", tmp_path / "tower", text, TowerSettings(), CPU),
        ("judge", tmp_path / "judge", vae, JudgeSettings(), None, CPU),
        ("counter", tmp_path / "counter", vae, tmp_path / "judge/judge.safetensors", CounterSettings(), CPU),
    ]


def test_a_start_workers_and_a_device_are_passed_on(tmp_path, calls):
    cli.main(parse("train", "unet", "--runs", str(tmp_path), "--start", "model", "--workers", "2"))
    assert calls[0][2] == UnetInputs(tmp_path / "vae/vae.safetensors", Path("model")) and calls[0][-1] == 2
    cli.main(parse("train", "unet", "--runs", str(tmp_path), "--device", "cuda"))
    assert calls[1][2].machine == Machine("cuda", os.cpu_count())
    cli.main(parse("train", "judge", "--runs", str(tmp_path), "--device", "cuda", "--drawers", "3"))
    assert calls[2][-1] == Machine("cuda", 3)
    cli.main(parse("train", "counter", "--runs", str(tmp_path), "--start", "model"))
    assert calls[3][1:4] == (tmp_path / "counter", Path("model") / FILES["vae"], Path("model") / JUDGE_FILE)


def test_every_part_is_trained_in_a_given_time(tmp_path, calls):
    cli.main(parse("train", "all", "--minutes", "10", "--device", "cuda", "--runs", str(tmp_path)))
    assert calls == [("everything", tmp_path, 10.0, Machine("cuda", os.cpu_count()), None)]


def test_the_transformer_learns_from_a_model_folder_with_a_gpus_batches(tmp_path, calls):
    cli.main(parse("train", "transformer", "--runs", str(tmp_path), "--device", "cuda", "--start", "model"))
    given, settings = calls[0][2:4]
    assert given == TransformerInputs(Path("model"), Machine("cuda", os.cpu_count()))
    assert settings.bfloat16 and settings.samples == 10**9 and settings.mixture[0][0].batch > 100
    (tmp_path / "model" / TRANSFORMER_FILE).parent.mkdir(parents=True)
    (tmp_path / "model" / TRANSFORMER_FILE).touch()
    cli.main(parse("train", "transformer", "--runs", str(tmp_path), "--start", str(tmp_path / "model")))
    assert calls[1][2] == TransformerInputs(tmp_path / "model", goes_on=True)


@pytest.mark.parametrize(
    "words", [("tower", "--start", "model"), ("judge", "--workers", "2"), ("all", "--samples", "1000")]
)
def test_what_a_part_cannot_do_is_refused(words, tmp_path, calls):
    with pytest.raises(ValueError, match=r"trained anew|shared among|needs a time"):
        cli.main(parse("train", *words, "--runs", str(tmp_path)))
    assert not calls


def test_a_length_replaces_the_recipes(tmp_path, calls):
    for part in cli.PARTS:
        cli.main(parse("train", part, "--samples", "300000", "--minutes", "2.5", "--runs", str(tmp_path)))
    settings = [next(given for given in call if hasattr(given, "samples")) for call in calls]
    assert [(recipe.samples, recipe.minutes) for recipe in settings] == [(300_000, 2.5)] * len(cli.PARTS)


def test_publish_goes_to_the_packs_own_folder_or_another(monkeypatch, tmp_path):
    from concept_atelier.lab.model import weights

    seen = []
    monkeypatch.setattr(weights, "publish", lambda *given: seen.append(given))
    for part in ("transformer", "counter"):
        monkeypatch.setattr(weights, f"publish_{part}", lambda *given, part=part: seen.append((part, *given)))
    cli.main(parse("publish", "--runs", str(tmp_path)))
    cli.main(parse("publish", "--runs", str(tmp_path), "--to", "elsewhere"))
    cli.main(parse("publish", "--transformer", "--runs", str(tmp_path)))
    cli.main(parse("publish", "--counter", "--runs", str(tmp_path)))
    assert seen == [
        (tmp_path, weights.WEIGHTS),
        (tmp_path, Path("elsewhere")),
        ("transformer", tmp_path, weights.WEIGHTS),
        ("counter", tmp_path, weights.WEIGHTS),
    ]


@pytest.mark.parametrize("words", [(), ("train",), ("train", "everything"), ("train", "vae", "--samples", "many")])
def test_what_makes_no_sense_is_refused(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(*words)
    assert stopped.value.code == 2 and "error" in capsys.readouterr().err
