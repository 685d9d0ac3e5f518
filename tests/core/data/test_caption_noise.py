import pytest
import torch
from torch.nn.functional import normalize

from concept_atelier.core.data.caption_noise import caption_noise, parts_of
from concept_atelier.core.data.mixture import two_groups


def pairs(generator, count=200, wrong=0.2, blur=1.0):
    """Pictures near their captions, of which some were exchanged in a ring; and which."""
    captions = normalize(torch.randn(count, 32, generator=generator), dim=1)
    pictures = normalize(captions + blur * torch.randn(count, 32, generator=generator) / 32**0.5, dim=1)
    moved = torch.arange(int(count * wrong))
    captions[moved] = captions[moved].roll(1, 0)
    is_wrong = torch.zeros(count, dtype=torch.bool)
    is_wrong[moved] = True
    return pictures, captions, is_wrong


def auroc(scores, positive):
    ranks = scores.argsort().argsort().double() + 1
    count = int(positive.sum())
    below = float(ranks[positive].sum()) - count * (count + 1) / 2
    return below / (count * (len(scores) - count))


def noise_of(pictures, captions):
    texts = [f"caption {number}" for number in range(len(captions))]
    return caption_noise(pictures, captions, torch.arange(len(captions)), texts)


def test_exchanged_captions_are_found(generator):
    pictures, captions, wrong = pairs(generator)
    found = noise_of(pictures, captions)
    assert found.evident and auroc(found.noise, wrong) > 0.95
    assert float(found.noise[wrong].mean()) > 0.9 and float(found.noise[~wrong].mean()) < 0.1
    assert found.verdict(0) == "replace" and found.verdict(199) == "keep"
    weights = found.weights(0.5)
    assert float(weights.min()) >= 0.5 and float(weights.max()) == 1.0
    assert "captions do not seem to fit" in found.said


def test_a_picture_without_the_subject_that_all_captions_name_is_found_by_texts_of_all_kinds(generator):
    subject, others = torch.eye(32)[0], normalize(torch.randn(30, 32, generator=generator), dim=1)
    grounds = normalize(torch.randn(60, 32, generator=generator), dim=1)
    wrong = torch.arange(60) % 5 == 4
    pictures = normalize(subject * (~wrong)[:, None] + grounds, dim=1)
    captions = normalize(subject + grounds, dim=1)  # the ground is right in all
    texts = [f"caption {number}" for number in range(60)]
    found = caption_noise(pictures, captions, torch.arange(60), texts, others)
    assert found.evident and auroc(-found.fit, wrong) == 1 and bool((found.noise[wrong] > 0.9).all())
    alone = auroc(-noise_of(pictures, captions).fit, wrong)
    assert alone < auroc(-found.fit, wrong), "the other captions take away what they share"
    same = caption_noise(pictures, captions[:1].expand(60, -1), torch.arange(60), ["a robot"] * 60, others)
    assert same.fit.shape == (60,)


def test_without_noise_nothing_is_dropped(generator):
    pictures, captions, _ = pairs(generator, wrong=0)
    found = noise_of(pictures, captions)
    assert not found.evident and float(found.noise.max()) == 0 and "no evidence" in found.said
    few = noise_of(pictures[:5], captions[:5])
    assert few.groups is None and "fewer than 20" in few.said


@pytest.mark.parametrize("seed", range(5))
def test_one_group_is_no_evidence(seed):
    made = torch.Generator().manual_seed(seed)
    for values in (torch.randn(300, generator=made), torch.randn(60, generator=made), torch.zeros(50)):
        found = two_groups(values)
        assert found is None or not found.evident


def test_probabilities_never_rise_with_the_fit(generator):
    values = torch.cat([torch.randn(60, generator=generator) * 3 - 6, torch.randn(140, generator=generator)])
    found = two_groups(values)
    ordered = found.lower[values.argsort()]
    assert bool((ordered[1:] <= ordered[:-1]).all()) and found.evident


def test_long_captions_are_compared_sentence_by_sentence():
    long = "a cat sits on a wall. " * 12
    texts, owners = parts_of(["a dog", long])
    assert texts[0] == "a dog" and len(texts) == 13 and owners.tolist() == [0] + [1] * 12
    tags = "cat, " * 100
    assert len(parts_of([tags])[0]) == 3
    pictures = torch.eye(2)
    parts = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    found = caption_noise(pictures, parts, torch.tensor([0, 1, 1]), ["a", "b"])
    assert found.nearest.tolist() == [0, 1], "the better half of the second caption is its first sentence"


def test_captions_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="2 pictures and 3 captions"):
        caption_noise(torch.eye(2), torch.eye(2), torch.arange(2), ["a", "b", "c"])
    with pytest.raises(ValueError, match="all captions are the same"):
        caption_noise(torch.eye(2), torch.eye(2), torch.arange(2), ["a", "a"])
