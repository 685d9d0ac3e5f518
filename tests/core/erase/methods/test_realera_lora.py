"""RealEra's training: its loss is that of its equation, texts around a concept lie in their band, and what it gives is
the closed form and what was trained."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cosine_similarity, mse_loss

from concept_atelier.core.erase.methods.realera import METHOD as CLOSED_FORM
from concept_atelier.core.erase.methods.realera_lora import METHOD, RealeraLoraSettings, drawn_around, losses_of
from concept_atelier.core.erase.parts.noised import Noised
from concept_atelier.core.erase.parts.pictures import TaskPictures
from concept_atelier.core.erase.parts.task import EraseTask
from concept_atelier.core.erase.parts.training import Student
from concept_atelier.host.adapters import backbone_of

QUICK = replace(
    METHOD.preset("small"), templates=("a {}",), steps=2, batch=2, side=64, sampling_steps=2, drawn=2, retain=0.0
)
PLAIN = {"around": 0.0, "ring_scale": 0.0, "closed_form": "none"}


@pytest.fixture
def student_of(lab_backbone, generator):
    def go(base=None, **changes):
        task = EraseTask(lab_backbone, (("cat", "dog"),), ("crab",), replace(QUICK, **changes))
        pictures = TaskPictures(torch.randn(2, 4, 8, 8, generator=generator), (0, 0))
        return Student(task, generator, Noised(task, task.settings, pictures, 2, generator), base)

    return go


@pytest.fixture
def predicted(lab_backbone):
    def go(visit, text, changes=None):
        with torch.no_grad(), lab_backbone.adapted(changes or {}):
            conditioning = lab_backbone.encode_text([text] * len(visit.latent))
            return lab_backbone.predict_target(visit.latent, visit.timestep, conditioning)

    return go


def test_the_concept_is_led_from_the_closed_form_to_what_the_model_predicted_for_its_anchor(
    lab_backbone, student_of, predicted
):
    base = CLOSED_FORM.erase(lab_backbone, ["cat"], "dog").factors
    for changes in ({}, base):
        student = student_of(changes, **PLAIN)
        visit = student.visits.visit(0)
        erase, keep = losses_of(student, visit)
        torch.testing.assert_close(erase, mse_loss(predicted(visit, "a cat", changes), predicted(visit, "a dog")))
        assert float(keep.detach()) == 0 and erase.requires_grad


def test_a_text_in_the_ring_and_preserved_ones_cost_nothing_until_something_has_changed(student_of, predicted):
    student = student_of(**PLAIN | {"ring_scale": 5.0, "retain": 1.0})
    visit = student.visits.visit(0)
    erase, keep = losses_of(student, visit)
    torch.testing.assert_close(erase, mse_loss(predicted(visit, "a cat"), predicted(visit, "a dog")))
    assert float(keep.detach()) < 1e-9
    with torch.no_grad():
        for factor in student.bank.factors.values():
            factor.up.normal_(generator=student.generator)
    erase, keep = losses_of(student, visit)
    alone = mse_loss(student.learnt(visit, ["a cat"] * 2)[0], predicted(visit, "a dog"))
    assert float(keep.detach()) > 1e-6 and float((erase - alone).detach()) > 1e-6


def test_around_a_concept_its_own_rows_move_within_the_band_and_no_others(lab_backbone, student_of):
    student = student_of()
    visit, before = student.visits.visit(0), lab_backbone.encode_text(["a cat"]).context[0]
    own = lab_backbone.tokenize("a cat").tokens[-1].position
    for radius, band, least in ((0.5, (0.95, 0.999), 0.0), (1.2, (-1.0, 0.95), 0.5)):
        found = drawn_around(student, visit, 0, radius, band, least).context[0]
        assert torch.equal(found[:own], before[:own])
        moved = (found[own:] - before[own:]).norm(dim=1) / before[own:].norm(dim=1)
        alike = cosine_similarity(found[own:], before[own:], dim=1)
        assert float((moved > 0).float().mean()) > 0.8 and float(moved.max()) <= radius + 1e-4
        assert bool(((alike >= band[0] - 1e-4) & (alike <= band[1] + 1e-4))[moved > 0].all())
    student.task = replace(student.task, settings=replace(QUICK, token_mode="last_subject"))
    found = drawn_around(student, visit, 0, 0.5, (0.9, 0.999), 0.0).context[0]
    assert (found != before).any(1).nonzero().flatten().tolist() == [own]


def test_what_is_given_is_the_closed_form_and_a_change_of_the_rank(lab_backbone):
    given = (lab_backbone, ["cat"], "dog", ["crab"])
    both = METHOD.erase(*given, QUICK)
    closed = CLOSED_FORM.erase(*given, replace(CLOSED_FORM.preset("small"), inside=QUICK.inside, nearest=QUICK.nearest))
    assert set(both.factors) == set(closed.factors) and "cat: erased with it" in both.metadata["remarks"]
    for name, change in both.factors.items():
        trained = change.dense() - closed.factors[name].dense()
        values = torch.linalg.svdvals(trained.double())
        assert float(values[0]) > 0 and float(values[QUICK.rank :].norm()) < 1e-3 * float(values.norm())
    assert both.metadata["rank"] == str(QUICK.rank) and both.metadata["closed_form_rank"] == closed.metadata["rank"]
    alone = METHOD.erase(*given, replace(QUICK, closed_form="none")).metadata
    assert alone["rank"] == str(QUICK.rank) and "closed_form_rank" not in alone


def test_on_a_transformer_it_changes_the_layer_by_which_text_enters(lab_transformer):
    given = (backbone_of(*lab_transformer), ["cat"], "dog", ["crab"])
    both = METHOD.erase(*given, QUICK)
    closed = CLOSED_FORM.erase(*given, replace(CLOSED_FORM.preset("small"), inside=QUICK.inside, nearest=QUICK.nearest))
    assert list(both.factors) == list(closed.factors) == ["txt_in.weight"]
    trained = both.factors["txt_in.weight"].dense() - closed.factors["txt_in.weight"].dense()
    values = torch.linalg.svdvals(trained.double())
    assert float(values[0]) > 0 and float(values[QUICK.rank :].norm()) < 1e-3 * float(values.norm())


@pytest.mark.parametrize("wrong", [{"inside": 0.999}, {"radius": 2.0}, {"around": 1.5}, {"closed_form": "x"}], ids=str)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RealeraLoraSettings(**wrong)
