"""Weights of pictures between their own loss and consistency, while a training runs."""

import json
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from concept_atelier.core.learn.methods.conceptexpress import METHOD
from concept_atelier.core.learn.parts.consistency import AdaptiveWeights
from concept_atelier.core.learn.parts.draws import Draws
from concept_atelier.core.learn.parts.token_pass import token_reader
from concept_atelier.core.learn.registry import METHODS
from concept_atelier.core.sample_weights import GREATEST
from concept_atelier.core.types import Source

QUICK = replace(METHOD.preset("small"), steps=1, attention_weight=0.0)


@pytest.fixture(scope="module")
def more(picture, concepts):
    return [Source(picture.flip(-1), replace(concepts, masks=concepts.masks.flip(-1)))]


def adaptive(backbone, latents, draws, rate=0.5):
    vectors = {"one": backbone.word_vectors("cat")}
    made = torch.Generator().manual_seed(0)
    reader = token_reader(backbone, latents, lambda: vectors, nullcontext, lambda: torch.tensor([500]), made)
    masks = [torch.ones(1, *latent.shape[-2:]) for latent in latents]
    return AdaptiveWeights(reader, masks, draws, rate)


@pytest.mark.parametrize("name", METHODS)
def test_every_learner_takes_it_or_says_why_not(lab_backbone, picture, concepts, more, name):
    method = METHODS[name]
    preset = method.preset("small")
    quick = {"steps": 2, "rank": 1, "prior": 0, "fit_steps": 1}
    quick = {name: value for name, value in quick.items() if hasattr(preset, name)}
    classes = {name: name for name in concepts.names}

    def learnt(**given):
        settings = replace(preset, **quick, **given)
        return method.learn(lab_backbone, picture, concepts, settings, classes=classes, more=more)

    if not method.draws_pictures:
        with pytest.raises(ValueError, match="takes no weights of them"):
            learnt(adaptive_rate=2.0)
        return
    free, weighed = learnt(), learnt(adaptive_rate=2.0)
    updates = (int(weighed.metadata["passes"]) - int(free.metadata["passes"])) / 2
    assert 1 <= updates <= int(free.metadata["updates"]), "two more passes in each update that moves tokens"
    assert all(0 < weight <= GREATEST for weight in json.loads(weighed.metadata["picture_weights"]))
    assert "picture_weights" not in free.metadata


def test_labels_and_consistency_share_what_a_picture_weighs(lab_backbone):
    latents, draws = [torch.randn(1, 4, 8, 12), torch.randn(1, 4, 8, 12)], Draws((1.0, 0.25))
    term = adaptive(lab_backbone, latents, draws)
    assert draws.weights.tolist() == [0.5, 0.125]
    for _ in range(6):
        assert float(term.term().detach()) > 0
    assert not torch.equal(term.labelled, torch.full((2,), 0.5, dtype=torch.float64))
    assert bool((term.labelled <= GREATEST).all()) and torch.equal(draws.weights, term.labelled * term.trust)
    assert float(term.scales[0].seen[:, 0].sum()) == 6


def test_both_predictions_are_by_sentences_that_say_the_same(lab_backbone):
    term = adaptive(lab_backbone, [torch.randn(1, 4, 8, 12)], Draws((1.0,)))
    noisy, time = torch.randn(1, 4, 8, 12), torch.tensor([500])
    found = term._predicted("one", noisy, time)
    for given, sentence in zip(found, ("a photo of cat", "a picture of cat"), strict=True):
        wanted = lab_backbone.predict_target(noisy, time, lab_backbone.encode_text([sentence]))
        torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-5)


def test_a_high_loss_of_the_label_draws_a_picture_to_its_label(lab_backbone):
    term = adaptive(lab_backbone, [torch.randn(1, 4, 8, 12)] * 2, Draws())
    for labelled in (1.0, 3.0):
        term._move(1 if labelled > 2 else 0, labelled, 1.0, 500)
    assert term.labelled.tolist()[0] == 0.5 < term.labelled.tolist()[1]


def test_state_is_kept_and_checked(lab_backbone):
    latents = [torch.randn(1, 4, 8, 12), torch.randn(1, 4, 8, 12)]
    term, again = (adaptive(lab_backbone, latents, Draws()) for _ in range(2))
    for _ in range(3):
        term.term()
    again.check(term.hidden())
    again.restore(term.hidden())
    assert all(torch.equal(value, again.hidden()[name]) for name, value in term.hidden().items())
    assert torch.equal(again.draws.weights, term.draws.weights)
    for name, value in term.hidden().items():
        with pytest.raises(ValueError, match="weights of pictures do not lie|fewer than no losses"):
            again.check({**term.hidden(), name: value - 1000})


def test_one_picture_cannot_be_weighed(lab_backbone, picture, concepts):
    with pytest.raises(ValueError, match="give two or more"):
        METHOD.learn(lab_backbone, picture, concepts, replace(QUICK, adaptive_rate=2.0))
    with pytest.raises(ValueError, match="adaptive_rate must be 0 or more"):
        replace(QUICK, adaptive_rate=-0.5)


def test_weights_given_decide_what_is_learnt_from(lab_backbone, picture, concepts, more):
    settings = replace(QUICK, steps=2)
    alone = METHOD.learn(lab_backbone, picture, concepts, settings, more=more, weights=(1.0, 0.0))
    other = METHOD.learn(lab_backbone, picture, concepts, settings, more=more, weights=(0.0, 1.0))
    assert json.loads(alone.metadata["weights"]) == [1.0, 0.0]
    assert not torch.equal(alone.vectors["apple"]["clip_l"], other.vectors["apple"]["clip_l"])
    with pytest.raises(ValueError, match="2 pictures and 1 weight;"):
        METHOD.learn(lab_backbone, picture, concepts, settings, more=more, weights=(1.0,))
