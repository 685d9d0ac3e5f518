"""Attacking an erasure from end to end: the erasures that follow, and the guard of whatever model is drawn."""

import pytest
import torch

from concept_atelier.core.erase.guards.registry import METHODS as GUARDS
from concept_atelier.core.erase.registry import METHODS
from concept_atelier.host.adapters import backbone_of, with_erasure, with_guard
from concept_atelier.host.jobs.erase.attack_scenarios import FurtherErasures, guard_of
from concept_atelier.host.shared.guards import SampledGuard, guarded_concepts

UCE = METHODS["uce"]


@pytest.fixture
def predicted(generator):
    latent = torch.randn(1, 4, 4, 4, generator=generator)

    def go(backbone, text):
        with torch.no_grad():
            return backbone.predict_noise(latent, torch.tensor([300]), backbone.encode_text([text]))

    return go


def test_every_word_is_erased_from_the_model_that_the_words_before_left(lab_model, lab_clip, lab_vae, predicted):
    model, settings = lab_model, UCE.preset("small")
    for word in ("dog", "car"):
        model = with_erasure(model, UCE.erase(backbone_of(model, lab_clip), [word], settings=settings))
    wanted = backbone_of(model, lab_clip, lab_vae)
    made = FurtherErasures(lab_model, lab_clip, lab_vae, "small")(["dog", "car"])
    plain = backbone_of(lab_model, lab_clip, lab_vae)
    for word in ("dog", "car"):
        assert torch.equal(predicted(made, word), predicted(wanted, word))
        assert not torch.allclose(predicted(made, word), predicted(plain, word), atol=1e-5)


def test_the_guard_of_a_model_asks_whatever_model_is_drawn(lab_model, lab_clip, lab_vae, lab_backbone):
    further = FurtherErasures(lab_model, lab_clip, lab_vae, "small")(["dog"])
    guard, concepts = GUARDS["adavd"], guarded_concepts(lab_backbone, ["cat"], "", {}, 1.0)
    for original in (None, lab_model):
        guarding = guard_of(with_guard(lab_model, SampledGuard(guard, concepts, guard.preset("small"), 1.0, original)))
        for drawn in (lab_backbone, further):
            task = guarding(drawn).task
            assert task.backbone is drawn
            assert task.original is drawn if original is None else task.original.model is lab_model
    assert guard_of(lab_model) is None
