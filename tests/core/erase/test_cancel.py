"""A cancel at any moment of a training leaves the model as it was: its weights, what it predicts and how it reads."""

from dataclasses import fields, replace

import pytest
import torch

from concept_atelier.core.erase.methods import few_shot
from concept_atelier.core.erase.parts.task import TrainingRequest
from concept_atelier.core.erase.registry import METHODS

TRAINED = [name for name, method in METHODS.items() if method.trains]
QUICK = {"steps": 1, "warm_up": 1, "batch": 1, "side": 64, "sampling_steps": 2, "visits": 1, "drawn": 1}
QUICK |= {"templates": ("{}", "a photo of a {}"), "closed_form": "paper"}


@pytest.fixture(scope="module")
def unchanged(lab_modules):
    """Whether all weights of the model are to the bit what they were before the tests."""
    modules = (lab_modules.unet, lab_modules.text_encoder, lab_modules.vae)
    before = [{name: tensor.clone() for name, tensor in module.state_dict().items()} for module in modules]

    def go():
        pairs = zip(modules, before, strict=True)
        return all(torch.equal(old[name], new) for module, old in pairs for name, new in module.state_dict().items())

    return go


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
    steps = 2 if name == "mace_lora" else 1  # MACE has a phase for each concept, which is to be left half-way, too
    return replace(preset, **{key: value for key, value in (QUICK | {"steps": steps}).items() if key in known})


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


def test_few_shot_goes_on_with_the_concepts_that_it_still_trained(lab_backbone, monkeypatch):
    """Of three concepts one is closed at the first snapshot. A training that goes on behind it, before the next one,
    leaves it closed, too; the state of one concept alone says nothing of that."""
    monkeypatch.setattr(
        few_shot.Ascent, "left", lambda self, bank: torch.tensor([0.5, -30.0, 0.1])[: len(self.trained)]
    )
    settings = replace(quick("few_shot"), steps=2, snapshot_every=3, templates=("{}",))

    def erase(*concepts, **asked):
        given = (lab_backbone, concepts, "dog", ["crab"], settings)
        return METHODS["few_shot"].erase(*given, training=TrainingRequest(**asked)).text["clip_l"]

    def cancel(done, total, *_):
        if done == total - 1 - total // 6:
            raise InterruptedError

    concepts, store = ("cat", "rocket", "crown"), Store()
    with pytest.raises(InterruptedError):
        erase(*concepts, report=cancel, store=store)
    (state,) = store.states.values()
    assert state["hidden.trained"].tolist() == [True, False, True]
    resumed, whole = erase(*concepts, store=store), erase(*concepts)
    assert all(torch.equal(change.dense(), resumed[key].dense()) for key, change in whole.items())
    with pytest.raises(InterruptedError):
        erase("cat", report=cancel, store=store)
    assert "hidden.trained" not in next(iter(store.states.values()))


@pytest.mark.parametrize("name", TRAINED)
def test_a_cancel_at_any_pass_leaves_the_model_as_it_was(
    name, lab_backbone, lab_modules, answer, unchanged, monkeypatch
):
    method, settings = METHODS[name], quick(name)
    modules, passes, last = (lab_modules.unet, lab_modules.text_encoder, lab_modules.vae), [], [0]

    def interrupt():
        passes.append(1)
        if len(passes) == last[0]:
            raise InterruptedError

    expected = answer()
    monkeypatch.setattr("concept_atelier.host.headless.backbone.check_interrupt", interrupt)
    method.erase(lab_backbone, ["cat"], "dog", ["crab"], settings)
    assert unchanged()
    count = len(passes)
    for at in (1, count // 2, count):
        passes.clear()
        last[0] = at
        with pytest.raises(InterruptedError):
            method.erase(lab_backbone, ["cat"], "dog", ["crab"], settings)
        last[0] = 0
        assert all(torch.equal(*pair) for pair in zip(answer(), expected, strict=True))
    assert unchanged()
    assert all(parameter.grad is None for module in modules for parameter in module.parameters())
