"""Train Erasure: an erasure that the other nodes take, a preview, and the given model as it was."""

import pytest
import torch

from concept_atelier.nodes import LoadErasure, SaveErasureAsLora, TrainErasure

QUICK = "batch=1, side=64, sampling_steps=2, visits=1"


@pytest.fixture
def train(call, sockets):
    def go(**changes):
        given = {**sockets, "concepts": "cat", "preserve": "dog", "steps": 2, "preview_every": 0, "settings": QUICK}
        return call(TrainErasure, **(given | changes))

    return go


@pytest.mark.parametrize("method", ["esd", "all_but_one"])
def test_what_was_trained_is_saved_and_loaded_again(call, train, sockets, draw, method):
    plain = draw()["samples"]
    model, erasure = train(method=method, preset="paper").args
    drawn = draw(model)["samples"]
    assert not torch.allclose(drawn, plain, atol=1e-6) and torch.equal(draw()["samples"], plain)
    saved = call(SaveErasureAsLora, erasure=erasure, name="trained")
    assert "a LoRA of rank 8" in saved.ui.as_dict()["text"][0]
    torch.testing.assert_close(draw(call(LoadErasure, model=sockets["model"], name=saved[0])[0])["samples"], drawn)
    assert torch.equal(draw(train(strength=0.0)[0])["samples"], plain)


def test_a_preview_shows_the_concept_and_what_is_kept(train):
    assert len(train(preview_every=2).ui["images"]) == 1
    assert not train(preview_every=0).ui.get("images")


def test_settings_of_the_method_are_given_by_name_and_others_refused(train):
    with pytest.raises(ValueError, match="esd has no setting 'keep'"):
        train(method="esd", settings="keep=2")
    with pytest.raises(ValueError, match="names <red>, but the tokens are: none connected"):
        train(concepts="<red>")
