"""A cancel at any moment of a training leaves the model as it was: its weights, what it predicts and how it reads."""

import hashlib
from dataclasses import fields, replace

import pytest
import torch

from concept_atelier.core.erase.parts.task import TrainingRequest
from concept_atelier.core.erase.registry import METHODS

TRAINED = [name for name, method in METHODS.items() if method.trains]
QUICK = {"steps": 1, "warm_up": 1, "batch": 1, "side": 64, "sampling_steps": 2, "visits": 1, "drawn": 1}


def digest(*modules):
    """SHA-256 of all weights."""
    found = hashlib.sha256()
    for module in modules:
        for name, tensor in module.state_dict().items():
            found.update(name.encode() + tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


@pytest.fixture
def answer(lab_backbone, generator):
    """What the model reads of a text and predicts for it."""
    latent = torch.randn(1, 4, 8, 8, generator=generator)

    def go():
        with torch.no_grad():
            conditioning = lab_backbone.encode_text(["a cat"])
            return conditioning.context, lab_backbone.predict_noise(latent, torch.tensor([300]), conditioning)

    return go


def quick(name):
    preset = METHODS[name].preset("small")
    known = {entry.name for entry in fields(preset)}
    return replace(preset, **{key: value for key, value in QUICK.items() if key in known})


class Store:
    """Keeps one state in memory."""

    every = 1

    def __init__(self):
        self.states = {}

    def load(self, fingerprint):
        return self.states.get(fingerprint)

    def save(self, fingerprint, state):
        self.states[fingerprint] = {name: tensor.clone() for name, tensor in state.items()}

    def discard(self, fingerprint):
        self.states.pop(fingerprint, None)

    def set_aside(self, fingerprint, why):
        raise AssertionError(why)


@pytest.mark.parametrize("name", TRAINED)
def test_a_cancelled_training_goes_on_and_ends_as_if_it_had_not_been(name, lab_backbone):
    def erase(**asked):
        given = (lab_backbone, ["cat", "rocket"], "dog", ["crab"], quick(name))
        made = METHODS[name].erase(*given, training=TrainingRequest(**asked))
        return [*made.factors.values(), *(change for of in made.text.values() for change in of.values())]

    def cancel(done, total, *_):
        if done == total - 1:
            raise InterruptedError

    store, seen = Store(), []
    with pytest.raises(InterruptedError):
        erase(report=cancel, store=store)
    resumed = erase(report=lambda done, total, *_: seen.append((done, total)), store=store)
    assert len(seen) == 1 and seen[0][0] == seen[0][1] and not store.states
    assert all(torch.equal(one.dense(), other.dense()) for one, other in zip(resumed, erase(), strict=True))


@pytest.mark.parametrize("name", TRAINED)
def test_a_cancel_at_any_pass_leaves_the_model_as_it_was(name, lab_backbone, lab_modules, answer, monkeypatch):
    method, settings = METHODS[name], quick(name)
    modules, passes, last = (lab_modules.unet, lab_modules.text_encoder, lab_modules.vae), [], [0]

    def interrupt():
        passes.append(1)
        if len(passes) == last[0]:
            raise InterruptedError

    before, expected = digest(*modules), answer()
    monkeypatch.setattr("concept_atelier.host.headless.backbone.check_interrupt", interrupt)
    method.erase(lab_backbone, ["cat"], "dog", ["crab"], settings)
    assert digest(*modules) == before
    count = len(passes)
    for at in (1, count // 2, count - 1, count):
        passes.clear()
        last[0] = at
        with pytest.raises(InterruptedError):
            method.erase(lab_backbone, ["cat"], "dog", ["crab"], settings)
        last[0] = 0
        assert all(torch.equal(*pair) for pair in zip(answer(), expected, strict=True))
    assert digest(*modules) == before
    assert all(parameter.grad is None for module in modules for parameter in module.parameters())
