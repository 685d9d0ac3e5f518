"""The image tower's trainer, in runs of a few steps."""

import json
import math
from dataclasses import asdict, replace

import pytest
import torch

from concept_atelier.core.files import load_tensors, save_tensors
from concept_atelier.lab.model.image_tower import ContrastivePair
from concept_atelier.training.dataset import draw_pictures, tokenize
from concept_atelier.training.tower import TowerSettings, contrast, order_of, read_pairs, train_tower

TINY = TowerSettings(samples=16, batch=8, side=32, pool=12, save_every=1000, judged=8)


@pytest.fixture(scope="module")
def pair(lab_modules):
    return ContrastivePair(0.07, text=lab_modules.text_encoder).eval()


def test_a_run_leaves_weights_log_and_pictures_and_goes_on(tmp_path, lab_modules):
    text = tmp_path / "text_encoder.safetensors"
    save_tensors(text, lab_modules.text_encoder.state_dict())
    train_tower(tmp_path / "run", text, TINY)
    written = {path.name for path in (tmp_path / "run").iterdir()}
    assert written == {"log.json", "pictures.png", "state.safetensors", "image_tower.safetensors"}
    log = json.loads((tmp_path / "run/log.json").read_text())
    assert log["settings"] == asdict(TINY) and log["samples"] == 16
    assert 0 <= log["curve"][-1]["top1_development"] <= 1

    train_tower(tmp_path / "run", text, replace(TINY, samples=24))
    again = json.loads((tmp_path / "run/log.json").read_text())
    assert again["samples"] == 24 and again["ema_steps"] == {"pair": 3}
    assert again["curve"][:-1] == log["curve"]
    state = load_tensors(tmp_path / "run/state.safetensors")[0]
    known = lab_modules.text_encoder.state_dict()
    assert all(torch.equal(state[f"pair.text.{key}"], known[key]) for key in known)  # it stays as it is


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


def test_a_caption_is_encoded_the_same_beside_longer_ones(pair):
    with torch.no_grad():
        alone = pair.encode_text(tokenize(["a cat"]))
        beside = pair.encode_text(tokenize(["a cat", "a robot and a pizza in neon style on grey"]))
    torch.testing.assert_close(beside[:1], alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(beside.norm(dim=1), torch.ones(2))


def pairs(pair, count, first_seed):
    return read_pairs(pair, [draw_pictures(order_of(32, count, "train", first_seed))], "cpu")


def test_pairs_are_drawn_by_seed_with_what_the_encoder_says(pair):
    drawn = pairs(pair, 3, 5)
    assert (
        drawn.pictures.shape == (3, 3, 32, 32)
        and drawn.tokens.shape == (3, 77)
        and drawn.text_features.shape == (3, 192)
    )
    again = pairs(pair, 2, 6)
    assert torch.equal(again.pictures, drawn.pictures[1:]) and torch.equal(again.tokens, drawn.tokens[1:])
    with torch.no_grad():
        similarity = pair.compare(drawn.pictures, drawn.text_features)
        expected = pair.log_scale.exp() * pair.image(drawn.pictures) @ pair.encode_text(drawn.tokens).T
    torch.testing.assert_close(similarity, expected, atol=1e-4, rtol=1e-4)
