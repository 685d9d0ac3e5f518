"""Concept Conductor: the layout of a reference."""

from dataclasses import replace

import torch

from concept_atelier.core.compose.composer import share_of
from concept_atelier.core.compose.composition import Concept, compose
from concept_atelier.core.compose.methods.concept_conductor import METHOD, ConductorSettings
from concept_atelier.core.compose.parts.layout import keys_of

LEFT = torch.zeros(8, 8)
LEFT[:, :4] = 1
TIME = torch.tensor([900])
SETTINGS = ConductorSettings(layout=1.0, most_move=0.01, of_branches=0.0, refine_until=0)
"""The prompt's own pass alone is led, by a short way."""


def composed(backbone, reference):
    concepts = [Concept("a cat", LEFT), Concept("a rocket", 1 - LEFT)]
    return replace(compose(backbone, "a cat and a rocket", concepts, branches=True), reference=reference)


def aligned(backbone, reference, latent):
    run = METHOD.begin(composed(backbone, reference), SETTINGS, share_of(backbone.schedule.steps))
    return run.before(backbone, latent, TIME)


@torch.no_grad()
def predicted(backbone, latent):
    """The model's noise, and the picture that gives the latent with that noise."""
    noise = backbone.predict_noise(latent, TIME, backbone.encode_text(["a cat and a rocket"]))
    one, none = torch.ones(1, 1), torch.zeros(1, 1)
    signal, spread = (backbone.schedule.add_noise(*pair, TIME)[0, 0] for pair in ((one, none), (none, one)))
    return noise, (latent - spread * noise) / signal


def test_a_reference_of_the_layout_that_is_drawn_moves_nothing(lab_backbone, generator):
    """Its keys are the prompt's own, so that their distance is 0."""
    latent = torch.randn(1, 4, 8, 8, generator=generator)
    _, same = predicted(lab_backbone, latent)
    torch.testing.assert_close(aligned(lab_backbone, same, latent), latent, rtol=0, atol=2e-4)
    assert float((aligned(lab_backbone, torch.randn_like(same), latent) - latent).norm()) > 1e-2


def test_the_latent_moves_to_where_its_keys_are_nearer_to_the_references(lab_backbone, generator):
    latent, reference = torch.randn(2, 1, 4, 8, 8, generator=generator)
    noise, _ = predicted(lab_backbone, latent)
    text = lab_backbone.encode_text(["a cat and a rocket"])
    site = next(one for one in lab_backbone.attention_sites() if one.kind == "self" and one.stage == "up")
    with torch.no_grad():
        noised = lab_backbone.schedule.add_noise(reference, noise, TIME)
        goal = keys_of(lab_backbone, noised, TIME, text, site)
        before, after = (
            float((keys_of(lab_backbone, one, TIME, text, site) - goal).square().mean())
            for one in (latent, aligned(lab_backbone, reference, latent))
        )
    assert after < before
