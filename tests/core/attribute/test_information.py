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
from concept_atelier.core.backbone import Conditioning
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
    assert min(float(part.min()) for part in (found.redundancy, found.unique_first, found.unique_second)) >= 0


def test_two_words_that_say_the_same_are_redundant():
    amount = torch.rand(3, 3)
    found = decompose(amount, amount, amount)
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
