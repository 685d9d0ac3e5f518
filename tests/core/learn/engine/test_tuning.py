"""The pass that methods with an adapter share."""

import pytest
import torch

from concept_atelier.core.learn.engine.training import Phase, Task
from concept_atelier.core.learn.engine.tuning import TuningSettings, start_prior, start_tuner, tuning_phase

LATENT = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def tuner_of(lab_backbone, picture, concepts):
    def make(**changes):
        settings = TuningSettings(rank=2, downscale=2, **changes)
        task = Task("x", lab_backbone, picture, concepts, settings)
        return start_tuner(task, settings, LATENT, torch.Generator().manual_seed(1)), task, settings

    return make


def test_watched_tokens_are_those_asked_for_and_gradients_reach_both_kinds(tuner_of):
    tuner, _, _ = tuner_of()
    text = "a photo of <apple> cat and <crab> cat"
    apple, crab = tuner.token(text, "apple"), tuner.token(text, "crab")
    first, second = (tuner.after_token(text, name, "cat") for name in ("apple", "crab"))
    assert first[0] == apple[-1] + 1 and second[0] == crab[-1] + 1 and first != second
    found = tuner.denoise(LATENT, [text], [(0, apple), (0, first), (0, (*apple, *first))])
    assert found.maps.shape == (3, 4, 6)
    torch.testing.assert_close(found.maps[2], found.maps[0] + found.maps[1])
    gradients = torch.autograd.grad(found.error().mean(), [*tuner.bank.parameters(), *tuner.adapter.parameters()])
    ups = gradients[1::2]
    assert gradients[0].abs().sum() > 0 and all(up.abs().sum() > 0 for up in ups)


def test_without_tokens_to_watch_there_are_no_maps(tuner_of):
    assert tuner_of()[0].denoise(LATENT, ["a cat"]).maps.shape == (0, 4, 6)


def test_the_change_is_in_force(tuner_of):
    errors = []
    for scale in (0.0, 0.3):
        tuner, _, _ = tuner_of()
        with torch.no_grad():
            for factor in tuner.adapter.factors.values():
                factor.up.fill_(scale)
            errors.append(tuner.denoise(LATENT, ["a cat"]).predicted)
    assert not torch.allclose(*errors, atol=1e-3)


def test_tokens_and_change_learn_at_their_own_rates(tuner_of):
    tuner, _, settings = tuner_of(rate=1e-2, adapter_rate=1e-4)
    phase = tuning_phase(tuner, Phase((), lambda step: torch.zeros(()), settings.loop), settings)
    assert len(phase.shares) == len(phase.parameters) == 1 + len(tuner.adapter.parameters())
    assert phase.shares[0] == 1 and phase.shares[1:] == pytest.approx([0.01] * (len(phase.shares) - 1))


def test_no_prior_is_drawn_for_nothing(tuner_of):
    for changes in ({"prior": 0}, {"prior": 3, "prior_weight": 0.0}):
        _, task, settings = tuner_of(**changes)
        assert start_prior(task, settings, ["a cat"], LATENT) is None
