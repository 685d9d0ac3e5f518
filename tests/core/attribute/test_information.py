"""Information of words: a Gaussian model whose information is known, and properties on the lab model."""

import math

import pytest
import torch

from concept_atelier.core.attribute.information import (
    InformationSettings,
    decompose,
    information,
    noise_levels,
    pair_information,
    timesteps_of,
    without,
    word_information,
)
from concept_atelier.core.backbone import Conditioning, Token, TokenizedText
from concept_atelier.core.schedule import DiffusionSchedule, FlowSchedule, flow_sigmas, scaled_linear_alphas

LATENT = torch.randn(1, 4, 6, 5, generator=torch.Generator().manual_seed(2))
QUICK = InformationSettings(draws=3)


class Gaussian:
    """Pictures of which each number is y plus noise of variance s; texts say y, or nothing. Its best predictions of the
    noise are known."""

    def __init__(self, said, variance, schedule):
        self.said, self.variance, self.schedule = said, variance, schedule

    def encode_text(self, texts, placeholders=None):
        return Conditioning(torch.tensor([[[self.said if text else math.nan]] for text in texts]))

    def predict_noise(self, latent, timestep, conditioning):
        signal = self.schedule.add_noise(torch.ones(1, 1), torch.zeros(1, 1), timestep[:1])[0, 0]
        spread = self.schedule.add_noise(torch.zeros(1, 1), torch.ones(1, 1), timestep[:1])[0, 0]
        rows = []
        for row, said in zip(latent, conditioning.context[:, 0, 0], strict=True):
            mean, variance = (0.0, 1 + self.variance) if math.isnan(said) else (float(said), self.variance)
            gain = spread / (signal**2 * variance + spread**2)
            rows.append(gain * (row - signal * mean))
        return torch.stack(rows)


@pytest.mark.parametrize("estimator", ["orthogonal", "standard"])
@pytest.mark.parametrize(
    "schedule",
    [DiffusionSchedule(scaled_linear_alphas()), FlowSchedule(flow_sigmas().clamp(max=0.999))],
    ids=["ddpm", "flow"],
)
def test_a_gaussians_information_is_found(estimator, schedule, generator):
    """``I(x; y) = 1/2 ln(var x / var x|y)`` a number, on average over pictures and texts."""
    variance, found = 0.25, []
    settings = InformationSettings(draws=60, location=0.5, scale=1.6, clip=4.0, estimator=estimator)
    for seed in range(40):
        said = float(torch.randn(1, generator=generator))
        clean = said + math.sqrt(variance) * torch.randn(1, 4, 16, 16, generator=generator)
        model = Gaussian(said, variance, schedule)
        found.append(float(information(model, clean, ["", "y"], [(1, 0)], settings, seed).mean()) / 4)
    expected = 0.5 * math.log((1 + variance) / variance)
    assert sum(found) / len(found) == pytest.approx(expected, rel=0.15)


class GaussianPair:
    """A picture x of independent numbers. Texts of the words "one" and "two" say of every number y1, y2 or both; all of
    these are jointly Gaussian, so that the best predictions of the noise are known."""

    def __init__(self, said, covariance, schedule):
        self.said, self.covariance, self.schedule = said, covariance, schedule

    def tokenize(self, text, placeholders=None):
        words = text.split()
        return TokenizedText(tuple(Token(word, at, at) for at, word in enumerate(words, 1)), 0, len(words) + 1, 9)

    def encode_text(self, texts, placeholders=None):
        rows = [[float(word in text.split()) for word in ("one", "two")] for text in texts]
        return Conditioning(torch.tensor(rows)[:, None])  # (B, 1, 2) which words are said

    def predict_noise(self, latent, timestep, conditioning):
        one, none = torch.ones(1, 1), torch.zeros(1, 1)
        signal, spread = (self.schedule.add_noise(*pair, timestep[:1])[0, 0] for pair in ((one, none), (none, one)))
        rows = []
        for row, known in zip(latent, conditioning.context[:, 0].bool(), strict=True):
            with_x, among = self.covariance[0, 1:][known], self.covariance[1:, 1:][known][:, known]
            gains = with_x @ torch.linalg.pinv(among)  # of x's mean from what is said
            mean = torch.einsum("k,k...->...", gains, self.said[known])
            variance = self.covariance[0, 0] - gains @ with_x
            rows.append(spread / (signal**2 * variance + spread**2) * (row - signal * mean))
        return torch.stack(rows)


def pair_of(first, second, noise, generator, same=False):
    """What is found of x = y1 + y2 + noise, or of x = y + noise with y1 = y2 = y, in nats for each number, on average
    over many numbers; variances of y1, y2 and the noise are given."""
    shape = (20_000, 1, 1)
    one, two, rest = (torch.randn(shape, generator=generator) * part**0.5 for part in (first, second, noise))
    if same:
        said, clean = torch.stack([one, one]), one + rest
        covariance = torch.full((3, 3), first) + torch.diag(torch.tensor([noise, 0.0, 0.0]))
    else:
        said, clean = torch.stack([one, two]), one + two + rest
        covariance = torch.tensor([[first + second + noise, first, second], [first, first, 0.0], [second, 0.0, second]])
    model = GaussianPair(said, covariance, DiffusionSchedule(scaled_linear_alphas()))
    settings = InformationSettings(draws=120, location=0.5, scale=1.6, clip=4.0)
    found = pair_information(model, clean[None], "a one two", ("one", "two"), settings)
    names = ("redundancy", "unique_first", "unique_second", "synergy", "first_given_second", "second_given_first")
    return {name: float(getattr(found, name).mean()) / len(clean) for name in names}


def test_a_pairs_information_is_that_of_a_gaussian(generator):
    """x = y1 + y2 + noise: ``I(x; y1) = 1/2 ln(var x / (var x - var y1))``, and likewise for y2 and both. The weaker
    word's is redundant, since its minimum is; what is left is y1's own, and the sum's."""
    first, second, noise = 1.0, 0.4, 0.5
    whole = first + second + noise
    of_first, of_second, of_both = (0.5 * math.log(whole / left) for left in (whole - first, whole - second, noise))
    found = pair_of(first, second, noise, generator)
    expected = {
        "redundancy": of_second,
        "unique_first": of_first - of_second,
        "unique_second": 0.0,
        "synergy": of_both - of_first,
        "first_given_second": of_both - of_second,
        "second_given_first": of_both - of_first,
    }
    assert found == pytest.approx(expected, rel=0.06, abs=1e-6)


def test_two_words_for_the_same_are_redundant_in_a_gaussian(generator):
    """y1 = y2: all that is known of x, ``1/2 ln(var x / var noise)``, either word gives."""
    found = pair_of(1.0, 1.0, 0.25, generator, same=True)
    expected = {"redundancy": 0.5 * math.log(1.25 / 0.25)} | dict.fromkeys(list(found)[1:], 0.0)
    assert found == pytest.approx(expected, rel=0.06, abs=1e-4)


def test_levels_lie_within_their_span_and_weights_stand_for_the_integral(generator):
    settings = InformationSettings(draws=400)
    levels, weights = noise_levels(settings, generator)
    assert float(levels.min()) >= -5 and float(levels.max()) <= 7 and bool((levels.diff() > 0).all())
    assert float(weights.mean()) == pytest.approx(12, rel=0.01)  # the integral of one over the span
    assert float((weights * levels).mean()) == pytest.approx(12, rel=0.02)  # of the level: its middle is one


def test_timesteps_have_the_levels_that_were_asked_for():
    alphas = scaled_linear_alphas()
    levels = (alphas / (1 - alphas)).log()[[3, 500, 998]]
    assert timesteps_of(levels, DiffusionSchedule(alphas)).tolist() == [3, 500, 998]


def test_a_word_that_changes_nothing_gives_no_information(lab_backbone):
    found = information(lab_backbone, LATENT, ["a cat", "a cat", "a dog"], [(0, 1), (0, 2)], QUICK)
    assert float(found[0].abs().max()) < 1e-8 < float(found[1].max())
    assert float(found.min()) >= 0


def test_words_are_measured_in_the_prompt_or_alone_and_the_same_again(lab_backbone):
    words = ["cat", "rocket"]
    inside, alone = (
        word_information(lab_backbone, LATENT, "a cat and a rocket", words, QUICK, alone=alone)
        for alone in (False, True)
    )
    assert inside.shape == alone.shape == (2, 6, 5) and not torch.allclose(inside, alone)
    again = word_information(lab_backbone, LATENT, "a cat and a rocket", words, QUICK)
    assert torch.equal(again, inside)


def test_a_pair_adds_up_to_what_its_words_give(lab_backbone):
    found = pair_information(lab_backbone, LATENT, "a cat and a rocket", ("cat", "rocket"), QUICK)
    texts = ["a and a", "a cat and a", "a and a rocket", "a cat and a rocket"]
    first, second, both = information(lab_backbone, LATENT, texts, [(1, 0), (2, 0), (3, 0)], QUICK)
    torch.testing.assert_close(found.redundancy + found.unique_first, first)
    torch.testing.assert_close(found.redundancy + found.unique_second, second)
    torch.testing.assert_close(
        found.redundancy + found.unique_first + found.unique_second + found.synergy, both, rtol=1e-4, atol=1e-6
    )
    parts = (found.redundancy, found.unique_first, found.unique_second)
    assert min(float(part.min()) for part in (*parts, found.first_given_second, found.second_given_first)) >= 0


def test_what_a_word_adds_to_the_other_is_the_rest_of_both_by_the_standard_estimator(lab_backbone):
    settings = InformationSettings(draws=3, estimator="standard")
    found = pair_information(lab_backbone, LATENT, "a cat and a rocket", ("cat", "rocket"), settings)
    for given, unique in (
        (found.first_given_second, found.unique_first),
        (found.second_given_first, found.unique_second),
    ):
        torch.testing.assert_close(given, unique + found.synergy, rtol=1e-4, atol=1e-5)


def test_what_a_word_adds_is_what_it_gives_in_the_text(lab_backbone):
    """Beside the rest of the prompt and the other word: the figure that the word has by itself in the text."""
    words = ("cat", "rocket")
    found = pair_information(lab_backbone, LATENT, "a cat and a rocket", words, QUICK)
    inside = word_information(lab_backbone, LATENT, "a cat and a rocket", list(words), QUICK)
    for given, own in zip((found.first_given_second, found.second_given_first), inside, strict=True):
        torch.testing.assert_close(given, own, rtol=1e-4, atol=1e-6)


def test_two_words_that_say_the_same_are_redundant():
    amount = torch.rand(3, 3)
    found = decompose(amount, amount, amount, torch.zeros(3, 3), torch.zeros(3, 3))
    torch.testing.assert_close(found.redundancy, amount)
    for part in (found.unique_first, found.unique_second, found.synergy):
        assert not part.any()


@pytest.mark.parametrize(
    ("prompt", "words", "rest"),
    [
        ("a red cat, sitting", ["cat"], "a red, sitting"),
        ("A Cat and a cats", ["cat"], "A and a cats"),
        ("<1> and <2> on white", ["<1>"], "and <2> on white"),
        ("a teddy bear", ["teddy bear"], "a"),
        ("a (cat:1.2) on grass", ["cat"], "a on grass"),
        ("a ((red cat):1.3), (a dog)", ["red", "cat"], "a, (a dog)"),
        ("a cat \\(\\)", ["cat"], "a \\(\\)"),
    ],
)
def test_a_prompt_closes_up_where_a_word_was(prompt, words, rest):
    assert without(prompt, words) == rest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "at least one"),
        (["whale"], "'whale' is not in the text"),
        (["teddybear"], "'teddybear' does not stand in the prompt as a word by itself"),
    ],
)
def test_words_must_be_in_the_prompt(lab_backbone, words, message):
    with pytest.raises(ValueError, match=message):
        word_information(lab_backbone, LATENT, "a teddy bear", words, QUICK)


@pytest.mark.parametrize("wrong", [{"draws": 0}, {"scale": 0.0}, {"clip": -1.0}, {"estimator": "best"}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        InformationSettings(**wrong)
