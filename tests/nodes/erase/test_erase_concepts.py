"""Erase Concepts and Save Erasure as LoRA: strengths, stacking, and the same effect from the file."""

import errno
import json
import os

import pytest
import torch

from concept_atelier.host.adapters import backbone_of
from concept_atelier.host.files import folders
from concept_atelier.host.workflow.stock import LoraLoaderModelOnly
from concept_atelier.nodes import SaveErasureAsLora


@pytest.fixture
def predict(sockets, encode, generator):
    """Noise that a MODEL predicts for "a cat" and "a dog"; (2, 4, 8, 12)."""
    from concept_atelier.core.backbone import Conditioning

    context = torch.cat([encode("a cat")[0][0], encode("a dog")[0][0]])
    latent, time = torch.randn(2, 4, 8, 12, generator=generator), torch.tensor([300, 300])

    def go(model):
        with torch.no_grad():
            return backbone_of(model).predict_noise(latent, time, Conditioning(context))

    return go


def test_strength_zero_draws_the_same_picture_to_the_bit_and_one_another(erase, draw):
    plain = draw()["samples"]
    assert torch.equal(draw(erase(strength=0.0)[0])["samples"], plain)
    assert not torch.allclose(draw(erase()[0])["samples"], plain, atol=1e-4)


def test_the_text_says_what_was_done_and_how_much(erase):
    (text,) = erase(concepts="cat, kitty", anchors="dog, ", strength=0.5).ui.as_dict()["text"]
    first, *_, last = text.splitlines()
    assert first == "cat is read as dog" and last.endswith("strength 0.5") and "projections change by" in last
    (bare,) = erase().ui.as_dict()["text"]
    assert bare.startswith("cat is read as nothing in particular")


def test_the_given_model_is_left_as_it_was(erase, sockets, draw, lab_modules, hooks_of):
    before = {name: weight.clone() for name, weight in lab_modules.unet.state_dict().items()}
    plain = draw()["samples"]
    draw(erase()[0])
    assert sockets["model"].patches == () and hooks_of() == 0
    assert all(torch.equal(weight, before[name]) for name, weight in lab_modules.unet.state_dict().items())
    assert torch.equal(draw(sockets["model"])["samples"], plain)


def test_erasing_twice_stacks(erase, predict, sockets):
    cat = erase()[0]
    both, second, _ = erase(model=cat, concepts="dog").args
    assert len(both.patches) == 2
    for one, other in ((both, cat), (both, erase(concepts="dog")[0])):
        assert (predict(one) - predict(other)).abs().max() > 1e-3
    # The second edit is solved over the weights that the first one left.
    again = erase(concepts="dog")[1]
    name = next(iter(second.factors))
    assert not torch.allclose(second.factors[name].dense(), again.factors[name].dense(), atol=1e-4)


def test_the_lists_and_inputs_reach_the_method(erase):
    given = {"concepts": "cat\nkitty", "anchors": "dog, fox", "preserve": "crab,\nfish", "projections": "key"}
    erasure = erase(**given, preset="paper", damping=0.25, preserve_scale=2.0, strength=-0.5)[1]
    assert json.loads(erasure.metadata["concepts"]) == ["cat", "kitty"]
    assert json.loads(erasure.metadata["anchors"]) == ["dog", "fox"]
    assert json.loads(erasure.metadata["preserve"]) == ["crab", "fish"]
    settings = json.loads(erasure.metadata["settings"])
    assert (settings["damping"], settings["preserve_scale"], settings["token_mode"]) == (0.25, 2.0, "last_subject")
    assert erasure.strength == -0.5 and all(name.endswith("to_k.weight") for name in erasure.factors)


def test_learnt_tokens_can_be_erased(erase, tokens):
    assert json.loads(erase(concepts="<red>", tokens=tokens)[1].metadata["concepts"]) == ["<red>"]
    with pytest.raises(ValueError, match="names <red>, but the tokens are: none connected"):
        erase(concepts="<red>")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"concepts": " ,\n"}, "name at least one concept"),
        ({"concepts": "cat, Cat"}, "listed twice"),
        ({"preserve": "cat"}, "both|erased and to be preserved"),
        ({"anchors": "a, b"}, "there is 1 concept and 2 anchors"),
        ({"anchors": "cat"}, "anchor is the concept itself"),
        ({"strength": float("nan")}, "expected a number"),
    ],
)
def test_bad_requests_are_refused(erase, changes, message):
    with pytest.raises(ValueError, match=message):
        erase(**changes)


@pytest.mark.parametrize("strength", [1.0, -0.7])
def test_the_lora_file_predicts_what_the_erased_model_predicts(call, erase, predict, sockets, strength):
    erased, erasure, _ = erase(strength=strength, preserve="dog").args
    name = (saved := call(SaveErasureAsLora, erasure=erasure))[0]
    assert name == "atelier/erased.safetensors" and "rank" in saved.ui.as_dict()["text"][0]
    loaded = call(LoraLoaderModelOnly, model=sockets["model"], lora_name=name, strength_model=1.0)[0]
    torch.testing.assert_close(predict(loaded), predict(erased), atol=1e-5, rtol=1e-5)
    assert (predict(loaded) - predict(sockets["model"])).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("name", "file"), [("mine", "mine"), ("mine.safetensors", "mine"), ("v1.5/no_cat", "v1.5/no_cat")]
)
def test_file_names(call, erase, here, name, file):
    with folders.record_written() as written:
        said = call(SaveErasureAsLora, erasure=erase()[1], name=name)[0]
    assert said == f"{file}.safetensors" and here.list_models("loras") == [said]
    assert written == [here.find_model("loras", said)]


@pytest.mark.parametrize("name", ["../up", "/abs", "", "a//b"])
def test_names_that_leave_the_folder_are_refused_before_running_and_made_safe_if_linked(call, erase, here, name):
    assert "name" in SaveErasureAsLora.validate_inputs(name=name)
    said = call(SaveErasureAsLora, erasure=erase()[1], name=name)[0]
    assert here.list_models("loras") == [said] and said.removesuffix(".safetensors") in ("up", "abs", "unnamed", "a/b")
    assert SaveErasureAsLora.validate_inputs(name=None) is True


def test_a_full_disk_keeps_the_older_file(call, erase, here, files_below, monkeypatch):
    call(SaveErasureAsLora, erasure=erase()[1])
    before = here.find_model("loras", "atelier/erased.safetensors").read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        call(SaveErasureAsLora, erasure=erase(strength=2.0)[1])
    assert here.find_model("loras", "atelier/erased.safetensors").read_bytes() == before
    assert files_below() == ["out/models/loras/atelier/erased.safetensors"]


def test_an_input_at_its_default_keeps_what_the_preset_of_the_method_says(erase):
    from concept_atelier.core.erase.registry import METHODS

    def said(**given):
        return json.loads(erase(**given)[1].metadata["settings"])

    closed_forms = {name: method for name, method in METHODS.items() if not method.trains}
    with_damping = {name: one for name, one in closed_forms.items() if hasattr(one.preset("small"), "damping")}
    assert {"uce", "realera"} <= set(with_damping)
    for name, method in with_damping.items():
        assert said(method=name, preset="small", damping=0.5)["damping"] == method.preset("small").damping
    assert said(method="rece", settings="rounds=2, hold = false")["rounds"] == 2
    assert said(method="realera", settings="inside=0.9\nrelated=0")["related"] == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "speed", "preserve_scale": 2.0}, "speed has no preserve_scale: leave it at 1"),
        ({"method": "uce", "settings": "rounds=2"}, "uce has no setting 'rounds'; it has templates, token_mode"),
        ({"method": "rece", "settings": "rounds=-2"}, "rounds must be 0 or more"),
    ],
)
def test_an_input_that_the_method_does_not_know_is_refused(erase, given, message):
    with pytest.raises(ValueError, match=message):
        erase(**given)


def test_what_the_method_remarks_stands_on_the_node(erase):
    (text,) = erase(method="rece", rounds=1).ui.as_dict()["text"]
    assert "Before round 1, a text could bring back" in text


def test_hirm_changes_the_clip_and_leaves_model_and_given_clip_as_they_were(call, erase, sockets, lab_modules):
    before = {name: weight.clone() for name, weight in lab_modules.text_encoder.state_dict().items()}
    model, erasure, clip = erase(method="hirm", preset="small", settings="steps=3", damping=0.5).args
    assert model is sockets["model"] and not erasure.factors and set(erasure.text) == {"clip_l"}
    assert clip is not sockets["clip"] and sockets["clip"].encoders["clip_l"].patches == ()
    assert all(torch.equal(one, before[name]) for name, one in lab_modules.text_encoder.state_dict().items())
    assert erase(strength=0.0)[2] is sockets["clip"], "methods that leave the text encoder alone hand on the CLIP"
