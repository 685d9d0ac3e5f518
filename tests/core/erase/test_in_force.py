"""Erasures of every method in force: one after another, undone to the bit, stopped, and out of a file."""

import functools
import json
from dataclasses import fields, replace
from functools import partial

import pytest
import torch

from concept_atelier.core.erase.parts.saved import load_erasure
from concept_atelier.core.erase.registry import METHODS
from concept_atelier.core.files import save_lora

QUICK = {"steps": 2, "warm_up": 1, "batch": 1, "side": 64, "sampling_steps": 2, "visits": 1, "drawn": 1, "searched": 2}
QUICK |= {"templates": ("{}", "a photo of a {}"), "neighbours": 8, "beyond": 32, "related": 2, "closed_form": "paper"}
KEPT = ("method", "concepts", "anchors", "preserve", "settings", "base", "text_base")

every_method = pytest.mark.parametrize("name", METHODS)


def erase(name, backbone, concept, strength=1.0, on_step=None):
    preset = METHODS[name].preset("small")
    known = {entry.name for entry in fields(preset)}
    settings = replace(preset, **{key: value for key, value in QUICK.items() if key in known})
    return METHODS[name].erase(backbone, [concept], "dog", ["crab"], settings, strength, on_step=on_step)


@pytest.fixture(scope="module")
def cat(lab_backbone):
    """The erasure of a cat by a method, made once, and the steps that it reported."""

    @functools.cache
    def make(name):
        steps = []
        return erase(name, lab_backbone, "cat", on_step=lambda done, total: steps.append(done)), tuple(steps)

    return make


@pytest.fixture
def put(lab_vae):
    """MODEL and CLIP with erasures in force, one after another."""
    from concept_atelier.host.adapters import with_erasure, with_text_erasure

    def go(model, clip, *erasures):
        for one in erasures:
            model, clip = with_erasure(model, one), with_text_erasure(clip, one)
        return model, clip

    return go


@pytest.fixture
def answers(lab_vae, generator):
    """What a model reads of texts, and what it predicts for them."""
    from concept_atelier.host.adapters import backbone_of

    latent = torch.randn(2, 4, 8, 8, generator=generator)

    def go(model, clip):
        backbone = backbone_of(model, clip, lab_vae)
        with torch.no_grad():
            read = backbone.encode_text(["a cat", "a rocket"])
            return torch.cat([read.context.flatten(), predicted(backbone, latent, read).flatten()])

    return go


def predicted(backbone, latent, read):
    return backbone.predict_noise(latent, torch.tensor([300, 300]), read)


@pytest.fixture(scope="module")
def weights(lab_modules):
    """The model's parts, each with a copy of its weights."""
    modules = (lab_modules.unet, lab_modules.text_encoder, lab_modules.vae)
    return [(one, {name: tensor.clone() for name, tensor in one.state_dict().items()}) for one in modules]


@pytest.fixture
def unchanged(weights):
    """Fails where a weight of the model is another than before the tests."""
    yield
    for module, before in weights:
        assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


@every_method
def test_one_after_another_each_is_undone_to_the_bit(name, lab_model, lab_clip, lab_vae, put, answers, cat, unchanged):
    from concept_atelier.host.adapters import backbone_of

    base, (first, _) = answers(lab_model, lab_clip), cat(name)
    once = put(lab_model, lab_clip, first)
    with_first = answers(*once)
    second = erase(name, backbone_of(*once, lab_vae), "rocket")
    with_both = answers(*put(*once, second))
    assert not torch.equal(with_first, base) and not torch.equal(with_both, with_first)
    assert torch.equal(answers(*once), with_first) and torch.equal(answers(lab_model, lab_clip), base)
    torch.testing.assert_close(answers(*put(lab_model, lab_clip, second, first)), with_both, atol=1e-4, rtol=1e-4)


@every_method
def test_its_file_keeps_the_model_the_lists_and_the_settings_and_does_the_same(
    name, lab_model, lab_clip, lab_backbone, put, answers, cat, tmp_path
):
    made, path = replace(cat(name)[0], strength=0.7), tmp_path / "made.safetensors"
    save_lora(path, made)
    weights, text = lab_backbone.key_value_weights(), lab_backbone.text_weights()
    others = {weight.name: weight.shape for weight in lab_backbone.attention_weights()}
    found = load_erasure(path, weights, "lab", 1.0, text, others)
    assert {key: found.metadata.get(key) for key in KEPT} == {key: made.metadata.get(key) for key in KEPT}
    assert json.loads(found.metadata["concepts"]) == ["cat"] and found.strength == pytest.approx(0.7)
    assert found.metadata["base" if made.factors else "text_base"]
    model, clip = put(lab_model, lab_clip, made)
    wanted, again = answers(model, clip), answers(*put(lab_model, lab_clip, found))
    torch.testing.assert_close(again, wanted, atol=1e-5, rtol=1e-4)
    turned = [replace(one, weight=one.weight.flip(0)) for one in (*weights, *text)]
    with pytest.raises(ValueError, match="was made on another"):
        load_erasure(path, turned[: len(weights)], "lab", 1.0, turned[len(weights) :], others)


@every_method
def test_a_stop_at_any_step_leaves_the_model_as_it_was(
    name, lab_model, lab_clip, lab_backbone, answers, cat, unchanged
):
    base, (_, steps) = answers(lab_model, lab_clip), cat(name)

    def stop(last, done, total):
        if done == last:
            raise InterruptedError

    for at in {1, len(steps) // 2 or 1, len(steps)}:
        with pytest.raises(InterruptedError):
            erase(name, lab_backbone, "cat", on_step=partial(stop, at))
        assert torch.equal(answers(lab_model, lab_clip), base)
