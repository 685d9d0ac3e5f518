"""The trainee that every method has, with and without changes of the model."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.learn.engine.settings import LearnSettings, TuningSettings
from concept_atelier.core.learn.engine.task import Task
from concept_atelier.core.learn.engine.trainee import start_prior, start_trainee

LATENT = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def trainee_of(lab_backbone, picture, concepts):
    def make(**changes):
        settings = TuningSettings(rank=2, downscale=2, **changes)
        task = Task("x", lab_backbone, picture, concepts, settings)
        generator = torch.Generator().manual_seed(1)
        return start_trainee(task, generator, LATENT, reads=settings, tunes=settings), task, settings

    return make


def test_recorded_tokens_are_those_asked_for_and_gradients_reach_both_kinds(trainee_of):
    trainee, _, _ = trainee_of()
    text = "a photo of <apple> cat and <crab> cat"
    apple, crab = trainee.token(text, "apple"), trainee.token(text, "crab")
    first, second = (trainee.after_token(text, name, "cat") for name in ("apple", "crab"))
    assert first[0] == apple[-1] + 1 and second[0] == crab[-1] + 1 and first != second
    found = trainee.denoise(LATENT, [text], [(0, apple), (0, first), (0, (*apple, *first))])
    assert found.maps.shape == (3, 4, 6)
    torch.testing.assert_close(found.maps[2], found.maps[0] + found.maps[1])
    gradients = torch.autograd.grad(found.error().mean(), [*trainee.bank.parameters(), *trainee.adapter.parameters()])
    ups = gradients[1::2]
    assert gradients[0].abs().sum() > 0 and all(up.abs().sum() > 0 for up in ups)


def test_tokens_and_the_words_behind_them_are_found_in_the_rows_of_every_text_encoder(trainee_of, twice):
    trainee, _, _ = trainee_of()
    text, names = "a photo of <apple> cat and <crab> cat", ("apple", "crab")
    both = replace(trainee, backbone=twice)
    length = trainee.backbone.tokenize(text, trainee.bank.placeholders()).length
    for name in names:
        for once, found in (
            (trainee.token(text, name), both.token(text, name)),
            (trainee.after_token(text, name, "cat"), both.after_token(text, name, "cat")),
        ):
            assert found == (*once, *(position + length for position in once))


def test_without_tokens_to_record_there_are_no_maps(trainee_of):
    assert trainee_of()[0].denoise(LATENT, ["a cat"]).maps.shape == (0, 4, 6)


def test_the_change_is_in_force(trainee_of):
    errors = []
    for scale in (0.0, 0.3):
        trainee, _, _ = trainee_of()
        with torch.no_grad():
            for factor in trainee.adapter.factors.values():
                factor.up.fill_(scale)
            errors.append(trainee.denoise(LATENT, ["a cat"]).predicted)
    assert not torch.allclose(*errors, atol=1e-3)


def test_tokens_and_change_learn_at_their_own_rates(trainee_of):
    trainee, _, settings = trainee_of(rate=1e-2, adapter_rate=1e-4)
    phase = trainee.phase(lambda step: torch.zeros(()), settings.loop, settings.adapter_rate)
    assert len(phase.shares) == len(phase.parameters) == 1 + len(trainee.adapter.parameters())
    assert phase.shares[0] == 1 and phase.shares[1:] == pytest.approx([0.01] * (len(phase.shares) - 1))


def test_no_prior_is_drawn_for_nothing(trainee_of):
    for changes in ({"prior": 0}, {"prior": 3, "prior_weight": 0.0}):
        _, task, settings = trainee_of(**changes)
        assert start_prior(task, settings, ["a cat"], LATENT) is None


def test_without_an_adapter_it_is_the_model_itself(lab_backbone, picture, concepts):
    task = Task("x", lab_backbone, picture, concepts, LearnSettings())
    trainee = start_trainee(task, torch.Generator().manual_seed(1), LATENT)
    trainee.generator.manual_seed(2)
    with torch.no_grad():
        found = trainee.denoise(LATENT, ["a cat"])
    draws = torch.Generator().manual_seed(2)
    time = torch.randint(0, lab_backbone.schedule.steps, (1,), generator=draws)
    noise = torch.randn(LATENT.shape, generator=draws)
    with torch.no_grad():
        noisy = lab_backbone.schedule.add_noise(LATENT, noise, time)
        assert torch.equal(
            found.predicted, lab_backbone.predict_noise(noisy, time, lab_backbone.encode_text(["a cat"]))
        )
    assert torch.equal(found.target, noise) and found.maps.shape == (0, 1, 1) and trainee.sites == ()
    assert [leaf.shape for leaf in trainee.phase(lambda step: noise.sum(), task.settings.loop).parameters] == [
        (2, 1, 192)
    ]


def test_several_tokens_of_a_concept_start_from_its_word(lab_backbone, picture, concepts):
    task = Task("x", lab_backbone, picture, concepts, LearnSettings(), words={"crab": "photo"})
    rows = start_trainee(task, torch.Generator(), LATENT, ("0", "1", "2", "3")).bank.vectors["clip_l"]
    word = lab_backbone.word_vectors("photo")["clip_l"]
    assert torch.equal(rows[1], word) and torch.equal(rows[3], word) and not torch.equal(rows[0], word)


def test_names_that_differ_in_case_have_places_of_their_own(lab_backbone, picture, concepts):
    settings = TuningSettings(rank=2, downscale=2)
    named = replace(concepts, names=("Cat", "cat"))
    task = Task("x", lab_backbone, picture, named, settings)
    trainee = start_trainee(task, torch.Generator().manual_seed(1), LATENT, reads=settings, tunes=None)
    text = "a photo of <Cat> and <cat>"
    assert trainee.token(text, "Cat") != trainee.token(text, "cat")
    with pytest.raises(ValueError, match="'and' does not stand behind <cat>"):
        trainee.after_token(text, "cat", "and")
