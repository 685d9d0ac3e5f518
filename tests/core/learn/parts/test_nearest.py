import pytest
import torch

from concept_atelier.core.learn.parts import nearest
from concept_atelier.core.learn.parts.examples import prepare
from concept_atelier.core.learn.parts.losses import masked_denoising
from concept_atelier.core.learn.parts.nearest import WordSearch, known_words, nearest_words
from concept_atelier.core.learn.parts.nouns import NOUNS

WORDS = ("cat", "lion", "crab", "bell", "rocket")
TEMPLATE = "a photo of {}"


@pytest.fixture(scope="module")
def example(lab_backbone, picture, concepts):
    return prepare(lab_backbone, picture, concepts)


@torch.no_grad()
def errors(backbone, example, share, generator):
    """(N, W), computed one word at a time."""
    time = torch.tensor([int(share * 999)])
    noise = torch.randn(example.latent.shape, generator=generator)
    noised = backbone.schedule.add_noise(example.latent, noise, time)
    predicted = [backbone.predict_noise(noised, time, backbone.encode_text([TEMPLATE.format(w)])) for w in WORDS]
    rows = [[masked_denoising(noise, one, mask[None]) for one in predicted] for mask in example.masks]
    return torch.tensor(rows)


def test_takes_the_word_that_explains_each_mask_best(lab_backbone, example):
    expected = errors(lab_backbone, example, 0.5, torch.Generator().manual_seed(3)).argmin(1)
    search = WordSearch(WORDS, (0.5,))
    found = nearest_words(lab_backbone, example, TEMPLATE, torch.Generator().manual_seed(3), search)
    assert found == tuple(WORDS[i] for i in expected.tolist())


def test_a_later_round_is_among_the_best_of_the_earlier(lab_backbone, example):
    draws = torch.Generator().manual_seed(3)
    first, second = errors(lab_backbone, example, 0.5, draws), errors(lab_backbone, example, 0.7, draws)
    first, second = (of / of.mean(1, keepdim=True) for of in (first, second))
    kept = first.argsort(1)[:, :2]
    search = WordSearch(WORDS, (0.5, 0.7), kept=0.4)
    found = nearest_words(lab_backbone, example, TEMPLATE, torch.Generator().manual_seed(3), search)
    assert all(WORDS.index(word) in kept[row].tolist() for row, word in enumerate(found))


def test_words_of_several_tokens_are_passed_over(lab_backbone):
    assert set(known_words(lab_backbone, ("cat", "guitar"))) == {"cat"}
    known = known_words(lab_backbone, NOUNS)
    assert 10 < len(known) < len(NOUNS) == len(set(NOUNS))


def test_without_any_word_it_says_what_to_do(lab_backbone, example, generator):
    with pytest.raises(ValueError, match="give start words"):
        nearest_words(lab_backbone, example, TEMPLATE, generator, WordSearch(("guitar",)))


def test_large_latents_go_through_the_model_a_few_at_a_time_and_give_the_same_words(lab_backbone, example, monkeypatch):
    search, rows = WordSearch(WORDS, (0.5,)), []
    found = [nearest_words(lab_backbone, example, TEMPLATE, torch.Generator().manual_seed(3), search)]
    monkeypatch.setattr(nearest, "CELLS", 2 * example.latent[0, 0].numel())
    with lab_backbone.tap_attention(lambda call: rows.append(len(call.query))):
        found.append(nearest_words(lab_backbone, example, TEMPLATE, torch.Generator().manual_seed(3), search))
    assert found[0] == found[1] and set(rows) == {1, 2}
