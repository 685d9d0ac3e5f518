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


@pytest.fixture
def encoded(call):
    """What a CLIP makes of a text that names the concept."""
    from concept_atelier.host.workflow.stock import CLIPTextEncode

    return lambda clip: call(CLIPTextEncode, clip=clip, text="a cat")[0][0][0]


@pytest.mark.parametrize("method", ["esd", "all_but_one"])
def test_what_was_trained_is_saved_and_loaded_again(call, train, sockets, draw, method):
    plain = draw()["samples"]
    model, erasure, clip = train(method=method, preset="paper").args
    assert clip is sockets["clip"]
    drawn = draw(model)["samples"]
    assert not torch.allclose(drawn, plain, atol=1e-6) and torch.equal(draw()["samples"], plain)
    saved = call(SaveErasureAsLora, erasure=erasure, name="trained")
    assert "a LoRA of rank 8" in saved.ui.as_dict()["text"][0]
    torch.testing.assert_close(draw(call(LoadErasure, model=sockets["model"], name=saved[0])[0])["samples"], drawn)
    assert torch.equal(draw(train(strength=0.0)[0])["samples"], plain)


@pytest.mark.parametrize("method", ["realera_lora", "mace_lora"])
def test_a_closed_form_and_what_was_trained_are_saved_as_one(call, train, sockets, draw, method):
    plain = draw()["samples"]
    settings = "batch=1, side=64, sampling_steps=2, drawn=1"
    model, erasure, _ = train(method=method, preset="small", settings=settings).args
    drawn = draw(model)["samples"]
    assert not torch.allclose(drawn, plain, atol=1e-6) and torch.equal(draw()["samples"], plain)
    saved = call(SaveErasureAsLora, erasure=erasure, name="both")
    loaded = call(LoadErasure, model=sockets["model"], name=saved[0])[0]
    torch.testing.assert_close(draw(loaded)["samples"], drawn, atol=1e-4, rtol=1e-4)


def test_a_changed_text_encoder_is_saved_and_loaded_again(call, train, sockets, encoded):
    settings = "batch=1, side=64, sampling_steps=2, drawn=1, rank=2"
    given = {"method": "few_shot", "preset": "paper", "learning_rate": 0.1, "settings": settings}
    plain = encoded(sockets["clip"])
    model, erasure, clip = train(**given).args
    changed = encoded(clip)
    assert model is sockets["model"] and not torch.allclose(changed, plain, atol=1e-4)
    saved = call(SaveErasureAsLora, erasure=erasure, name="few")
    assert "a LoRA of rank 2" in saved.ui.as_dict()["text"][0]
    loaded = call(LoadErasure, **{key: sockets[key] for key in ("model", "clip")}, name=saved[0])[2]
    torch.testing.assert_close(encoded(loaded), changed)
    assert torch.equal(encoded(train(**given, strength=0.0)[2]), plain)
    assert torch.equal(encoded(sockets["clip"]), plain)


def test_pictures_are_for_methods_that_look_at_some(train, image):
    settings = "batch=1, side=64"
    (text,) = train(method="few_shot", pictures=image, settings=settings, preview_every=1).ui["text"]
    assert "The snapshot after step 2 of at most 2 was taken" in text
    with pytest.raises(ValueError, match="ESD draws its own pictures; disconnect"):
        train(method="esd", pictures=image)
    with pytest.raises(ValueError, match="1 pictures cannot be divided among 2 concepts"):
        train(method="few_shot", concepts="cat, dog", preserve="", pictures=image, settings=settings)


def test_a_preview_shows_the_concept_and_what_is_kept(train):
    assert len(train(preview_every=2).ui["images"]) == 1
    assert not train(preview_every=0).ui.get("images")


def test_settings_of_the_method_are_given_by_name_and_others_refused(train):
    with pytest.raises(ValueError, match="esd has no setting 'keep'"):
        train(method="esd", settings="keep=2")
    with pytest.raises(ValueError, match="names <red>, but the tokens are: none connected"):
        train(concepts="<red>")
