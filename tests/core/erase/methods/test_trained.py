"""ESD and All but One: their losses are those of the equations, and which weights they train; steps of all methods."""

from dataclasses import fields, replace
from functools import partial

import pytest
import torch
from torch.nn.functional import mse_loss

from concept_atelier.core.erase.methods import all_but_one, esd
from concept_atelier.core.erase.parts.task import EraseTask, TrainingRequest
from concept_atelier.core.erase.parts.training import Student
from concept_atelier.core.erase.registry import METHODS

QUICK = {"steps": 1, "batch": 2, "side": 64, "sampling_steps": 3, "templates": ("a {}",), "visits": 0, "retain": 1.0}


@pytest.fixture
def student_of(lab_backbone, generator):
    """A student in the middle of a training: its change is not zero."""

    def go(settings, anchor):
        task = EraseTask(lab_backbone, (("cat", anchor),), ("crab",), settings)
        student = Student(task, generator)
        with torch.no_grad():
            for factor in student.bank.factors.values():
                factor.up.copy_(torch.randn(factor.up.shape, generator=generator))
        return student

    return go


@pytest.fixture
def predicted(lab_backbone):
    """What the model predicts at a visit for a text, as it was or with the student's change."""

    def go(student, visit, text, changed=False):
        conditioning = lab_backbone.encode_text([text] * len(visit.latent))
        with torch.no_grad(), lab_backbone.adapted(student.bank.snapshot() if changed else {}):
            return lab_backbone.predict_target(visit.latent, visit.timestep, conditioning)

    return go


@pytest.mark.parametrize(("eta", "anchor"), [(1.0, ""), (2.0, ""), (1.5, "dog")])
def test_esds_loss_is_that_of_its_equation(student_of, predicted, eta, anchor):
    student = student_of(replace(esd.METHOD.preset("small"), **QUICK, eta=eta), anchor)
    visit = student.visits.visit(0)
    erase, keep = esd._losses(student, visit)
    was, now = partial(predicted, student, visit), partial(predicted, student, visit, changed=True)
    target = was(anchor and "a dog") - (eta - 1) * (was("a cat") - was(""))
    torch.testing.assert_close(erase, mse_loss(now("a cat"), target))
    kept = torch.stack([mse_loss(now(text), was(text)) for text in ("", "a crab")]).mean()
    torch.testing.assert_close(keep, kept)


@pytest.mark.parametrize(("away", "anchor"), [(0.0, ""), (0.5, ""), (0.5, "dog")])
def test_all_but_ones_loss_is_that_of_its_equation(student_of, predicted, away, anchor):
    student = student_of(replace(all_but_one.METHOD.preset("small"), **QUICK, away=away, keep=2.0), anchor)
    visit = student.visits.visit(1)
    erase, keep = all_but_one._losses(student, visit)
    was, now = partial(predicted, student, visit), partial(predicted, student, visit, changed=True)
    guidance = was("a dog") - was("") if anchor else -away * (was("a cat") - was(""))
    wanted = mse_loss(now("a cat") - now(""), guidance) + 2.0 * mse_loss(now(""), was(""))
    torch.testing.assert_close(erase, wanted)
    torch.testing.assert_close(keep, mse_loss(now("a crab") - now(""), was("a crab") - was("")))


def test_the_unconditional_prediction_takes_no_gradient_of_the_guidance(student_of):
    """With keep at 0 and the concept itself the empty text, nothing is left to learn but by the concept's own side."""
    student = student_of(replace(all_but_one.METHOD.preset("small"), **QUICK, keep=0.0, away=0.0), "")
    visit = student.visits.visit(0)
    parameters = student.bank.parameters()
    plain = torch.autograd.grad(all_but_one._losses(student, visit)[0], parameters)
    with torch.no_grad():
        empty, concept = student.learnt(visit, [""] * 2, ["a cat"] * 2)
    (learnt,) = student.learnt(visit, ["a cat"] * 2)
    alone = torch.autograd.grad((learnt - empty).square().mean(), parameters)
    for one, other in zip(plain, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-3)


def test_a_training_makes_the_loss_smaller(lab_backbone):
    quick = QUICK | {"steps": 12, "batch": 1, "sampling_steps": 1, "rate": 1e-3, "retain": 0.0}
    settings = replace(esd.METHOD.preset("small"), **quick, layers="all", eta=1.0)
    notes = esd.METHOD.erase(lab_backbone, ["cat"], "dog", (), settings).metadata
    assert float(notes["loss_last"]) < float(notes["loss_first"])


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.trains])
def test_steps_are_for_each_concept(lab_backbone, name):
    """DoCo also has so many steps of its discriminator for each."""
    preset, totals = METHODS[name].preset("small"), []
    known = {entry.name for entry in fields(preset)}
    tiny = QUICK | {"steps": 1, "warm_up": 1, "drawn": 1, "batch": 1, "sampling_steps": 1}
    quick = {key: value for key, value in tiny.items() if key in known}
    for concepts in (["cat"], ["cat", "rocket", "crab"]):
        asked = TrainingRequest(report=lambda done, total, *_: totals.append(total))
        METHODS[name].erase(lab_backbone, concepts, "dog", settings=replace(preset, **quick), training=asked)
    each = totals[0]
    assert totals == [each] * each + [3 * each] * 3 * each and each == (2 if name == "doco" else 1)


def test_the_paper_trains_all_of_cross_attention_and_small_keys_and_values(lab_backbone):
    quick = QUICK | {"visits": 1}
    paper, small = (
        esd.METHOD.erase(lab_backbone, ["cat"], settings=replace(esd.METHOD.preset(name), **quick)).factors
        for name in ("paper", "small")
    )
    assert any(name.endswith("attn2.to_q.weight") for name in paper) and len(paper) == 2 * len(small)
    assert all(name.endswith(("to_k.weight", "to_v.weight")) for name in small)
