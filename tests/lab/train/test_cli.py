"""What ``lab train`` and ``lab publish`` make of their arguments."""

import argparse
from pathlib import Path

import pytest

from concept_atelier.lab.train import cli
from concept_atelier.lab.train.judge import JudgeSettings
from concept_atelier.lab.train.text import TextSettings
from concept_atelier.lab.train.unet import UnetInputs, UnetSettings
from concept_atelier.lab.train.vae import VaeSettings

PARTS = ("vae", "text", "unet", "judge")


def parse(*words):
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def calls(monkeypatch):
    """What each trainer was called with."""
    seen = []
    for part in PARTS:
        module = f"concept_atelier.lab.train.{part}.train_{part}"
        monkeypatch.setattr(module, lambda *given, part=part: seen.append((part, *given)))
    return seen


def test_without_figures_the_recipe_is_used(tmp_path, calls):
    for part in PARTS:
        assert cli.main(parse("train", part, "--runs", str(tmp_path))) == 0
    vae, text = tmp_path / "vae/vae.safetensors", tmp_path / "text/text_encoder.safetensors"
    assert calls == [
        ("vae", tmp_path / "vae", VaeSettings()),
        ("text", tmp_path / "text", TextSettings(), None),
        ("unet", tmp_path / "unet", UnetInputs(vae, text), UnetSettings(), 1),
        ("judge", tmp_path / "judge", vae, JudgeSettings(), None),
    ]


def test_a_start_and_workers_are_passed_on(tmp_path, calls):
    cli.main(parse("train", "unet", "--runs", str(tmp_path), "--start", "model", "--workers", "2"))
    assert calls[0][2].start == Path("model") and calls[0][-1] == 2


@pytest.mark.parametrize("words", [("vae", "--start", "model"), ("judge", "--workers", "2")])
def test_a_start_or_workers_where_there_are_none_are_refused(words, tmp_path, calls):
    with pytest.raises(ValueError, match=r"from scratch|shared among"):
        cli.main(parse("train", *words, "--runs", str(tmp_path)))
    assert not calls


def test_a_number_of_samples_replaces_the_recipes(tmp_path, calls):
    for part in PARTS:
        cli.main(parse("train", part, "--samples", "300000", "--runs", str(tmp_path)))
    settings = [next(given for given in call if hasattr(given, "samples")) for call in calls]
    assert [recipe.samples for recipe in settings] == [300_000] * 4
    assert settings[2].stages[0] == UnetSettings().stages[0]


def test_publish_goes_to_the_packs_own_folder_or_another(monkeypatch, tmp_path):
    from concept_atelier.lab.model import weights

    seen = []
    monkeypatch.setattr(weights, "publish", lambda *given: seen.append(given))
    cli.main(parse("publish", "--runs", str(tmp_path)))
    cli.main(parse("publish", "--runs", str(tmp_path), "--to", "elsewhere"))
    assert seen == [(tmp_path, weights.WEIGHTS), (tmp_path, Path("elsewhere"))]


@pytest.mark.parametrize("words", [(), ("train",), ("train", "everything"), ("train", "vae", "--samples", "many")])
def test_what_makes_no_sense_is_refused(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(*words)
    assert stopped.value.code == 2 and "error" in capsys.readouterr().err
