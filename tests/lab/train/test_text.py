"""The text encoder's trainer, in runs of a few steps."""

import json
import math
from dataclasses import asdict, replace

import pytest
import torch

from concept_atelier.core.files import load_tensors, save_tensors
from concept_atelier.lab.model.image_tower import ContrastivePair
from concept_atelier.lab.model.modules import build_text_encoder
from concept_atelier.lab.model.weights import FILES
from concept_atelier.lab.train.dataset import tokenize
from concept_atelier.lab.train.text import TextSettings, contrast, draw_pairs, train_text

TINY = TextSettings(samples=16, batch=8, side=32, pool=12, save_every=1000, judged=8, locked=8)


def test_a_run_leaves_weights_log_and_pictures_and_goes_on(tmp_path):
    train_text(tmp_path, TINY)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {
        "log.json",
        "pictures.png",
        "state.safetensors",
        "text_encoder.safetensors",
        "image_tower.safetensors",
    }
    log = json.loads((tmp_path / "log.json").read_text())
    assert log["settings"] == asdict(TINY) and log["samples"] == 16
    assert 0 <= log["curve"][-1]["top1_development"] <= 1
    build_text_encoder().load_state_dict(load_tensors(tmp_path / "text_encoder.safetensors")[0])

    train_text(tmp_path, replace(TINY, samples=24))
    again = json.loads((tmp_path / "log.json").read_text())
    assert again["samples"] == 24 and again["ema_steps"] == {"pair": 3}
    assert again["curve"][:-1] == log["curve"]


def test_a_known_text_encoder_waits_for_the_tower_and_then_learns(tmp_path):
    known = build_text_encoder().state_dict()
    save_tensors(tmp_path / "model" / FILES["text_encoder"], known)

    def moved(samples):
        train_text(tmp_path / str(samples), replace(TINY, samples=samples), start=tmp_path / "model")
        found = load_tensors(tmp_path / str(samples) / "text_encoder.safetensors")[0]
        return any(not torch.equal(found[key], known[key]) for key in known)

    assert not moved(8)
    assert moved(24)


def test_equal_captions_are_equally_right():
    tokens = torch.tensor([[1, 2], [1, 2], [3, 4]])
    similarity = torch.tensor([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]])
    swapped = similarity[:, [1, 0, 2]]
    torch.testing.assert_close(contrast(swapped, tokens), contrast(similarity, tokens))
    apart = torch.tensor([[1, 2], [5, 6], [3, 4]])
    assert contrast(swapped, apart) > contrast(similarity, apart) + 1


def test_the_least_loss_is_the_entropy_of_equal_captions():
    tokens = torch.tensor([[1], [1], [2]])
    same = (tokens == tokens.T).float()
    loss = contrast(100 * same, tokens)
    assert loss.item() == pytest.approx(2 / 3 * math.log(2), abs=1e-5)


def test_a_caption_is_encoded_the_same_beside_longer_ones():
    torch.manual_seed(0)
    pair = ContrastivePair(0.07).eval()
    with torch.no_grad():
        alone = pair.encode_text(tokenize(["a cat"]))
        beside = pair.encode_text(tokenize(["a cat", "a robot and a pizza in noto style on grey"]))
    torch.testing.assert_close(beside[:1], alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(beside.norm(dim=1), torch.ones(2))


def test_pairs_are_drawn_by_seed():
    pictures, tokens = draw_pairs(3, 32, "train", 5)
    assert pictures.shape == (3, 32, 32, 3) and tokens.shape == (3, 77)
    again, ids = draw_pairs(2, 32, "train", 6)
    assert (again == pictures[1:]).all() and torch.equal(ids, tokens[1:])
