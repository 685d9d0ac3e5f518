"""DoCo: domains and keeping loss are those of its equations, and a cancelled training goes on in both phases."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import mse_loss

from concept_atelier.core.erase.methods import doco
from concept_atelier.core.erase.methods.doco import METHOD, DocoSettings, domains
from concept_atelier.core.erase.parts.discriminator import Discriminator
from concept_atelier.core.erase.parts.noised import Noised
from concept_atelier.core.erase.parts.pictures import TaskPictures
from concept_atelier.core.erase.parts.task import EraseTask, TrainingRequest
from concept_atelier.core.erase.parts.training import Student

QUICK = replace(
    METHOD.preset("small"), templates=("a {}",), steps=2, warm_up=2, batch=2, side=64, sampling_steps=2, drawn=2
)


@pytest.fixture
def student_of(lab_backbone, generator):
    def go(anchor, **changes):
        task = EraseTask(lab_backbone, (("cat", anchor),), ("crab",), replace(QUICK, **changes))
        pictures = TaskPictures(torch.randn(2, 4, 8, 8, generator=generator), (0, 0))
        return Student(task, generator, Noised(task, task.settings, pictures, 2, generator, 0.9))

    return go


def test_the_domains_are_clean_latents_of_anchor_and_concept(lab_backbone, student_of):
    student = student_of("dog")
    visit = student.visits.visit(0)

    def predicted(text):
        with torch.no_grad():
            return lab_backbone.predict_target(visit.latent, visit.timestep, lab_backbone.encode_text([text] * 2))

    members, others, keep = domains(student, visit)
    clean = lab_backbone.schedule.clean_from_noise
    torch.testing.assert_close(members, clean(predicted("a dog"), visit.latent, visit.timestep))
    torch.testing.assert_close(others, clean(predicted("a cat"), visit.latent, visit.timestep))
    # Nothing is changed yet, so that what is held is held; what is left is the loss of denoising.
    torch.testing.assert_close(keep, mse_loss(predicted("a dog"), visit.target))
    assert not members.requires_grad and others.requires_grad


def test_a_concept_that_is_its_anchor_is_in_the_anchors_domain(student_of):
    student = student_of("cat")
    members, others, _ = domains(student, student.visits.visit(0))
    torch.testing.assert_close(members, others.detach())


def test_nothing_is_held_without_retain(student_of):
    student = student_of("dog", retain=0.0, surgery=0.0)
    assert float(domains(student, student.visits.visit(0))[2]) == 0


class Store:
    """Keeps states in memory."""

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


@pytest.mark.parametrize("at", [1, 3])
def test_a_cancelled_training_goes_on_in_either_phase(lab_backbone, at):
    def erase(**asked):
        given = (lab_backbone, ["cat"], "dog", ["crab"], QUICK)
        return METHOD.erase(*given, training=TrainingRequest(**asked)).factors

    def cancel(done, *_):
        if done == at:
            raise InterruptedError

    store, seen = Store(), []
    with pytest.raises(InterruptedError):
        erase(report=cancel, store=store)
    resumed = erase(report=lambda done, *_: seen.append(done), store=store)
    assert seen == list(range(at + 1, 5))
    assert all(torch.equal(change.dense(), resumed[name].dense()) for name, change in erase().items())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"warm_up": -1}, "warm_up must be 0 or more"),
        ({"latest": 0.0}, "latest must be above 0"),
        ({"retain": 0.0}, "retain must be above 0 where surgery is"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        DocoSettings(**wrong)


def test_the_discriminator_goes_on_learning_while_the_model_is_trained(lab_backbone, monkeypatch):
    """Once a step of the model, from the domains of that step."""
    moved = []

    class Watched(Discriminator):
        def train(self, members, others):
            before = [weight.detach().clone() for weight in self.parameters]
            found = super().train(members, others)
            moved.append(max(float((w.detach() - b).abs().max()) for w, b in zip(self.parameters, before, strict=True)))
            return found

    monkeypatch.setattr(doco, "Discriminator", Watched)
    METHOD.erase(lab_backbone, ["cat"], "dog", ["crab"], QUICK)
    assert len(moved) == QUICK.steps and min(moved) > 1e-5


@pytest.mark.parametrize(("surgery", "same"), [(1.0, True), (0.0, False)])
def test_the_keeping_loss_lends_its_direction_alone_in_surgery_and_adds_to_the_loss_without(
    lab_backbone, surgery, same
):
    light, heavy = (
        METHOD.erase(lab_backbone, ["cat"], "dog", ["crab"], replace(QUICK, retain=retain, surgery=surgery)).factors
        for retain in (0.5, 50.0)
    )
    assert all(torch.equal(change.dense(), heavy[name].dense()) for name, change in light.items()) == same
