from dataclasses import replace

import pytest
import torch

from concept_atelier.core.explain import attenuation
from concept_atelier.core.explain.attenuation import (
    NOISES,
    Posteriors,
    posterior_of,
    posteriors_of,
)
from concept_atelier.core.explain.recording import record_denoiser
from concept_atelier.core.explain.registry import METHODS, encode
from concept_atelier.host.adapters import backbone_of


def test_a_posterior_of_one_takes_a_code_away_and_of_none_leaves_it():
    """Codes of 3 to 4 belong to the concept, codes of 1 to 2 to anything else, codes of 0 to both alike."""
    generator = torch.Generator().manual_seed(0)
    own = 3 + torch.rand(5000, 1, generator=generator)
    other = 1 + torch.rand(5000, 1, generator=generator)
    nothing = torch.zeros(5000, 1)
    posterior = posterior_of(torch.cat([own, nothing]), torch.cat([other, nothing]))
    codes = torch.tensor([[0.0], [1.5], [3.5]])
    assert posterior.of(codes)[:, 0].tolist() == pytest.approx([0.5, 0, 1], abs=0.03)
    assert (codes * (1 - posterior.of(codes)))[:, 0].tolist() == pytest.approx([0, 1.5, 0], abs=0.12)


def test_a_code_beyond_all_that_were_seen_counts_as_the_largest():
    posterior = posterior_of(torch.tensor([[2.0]] * 50), torch.tensor([[1.0]] * 50))
    assert torch.equal(posterior.of(torch.tensor([[9.0]])), posterior.of(torch.tensor([[2.0]])))


@pytest.mark.parametrize("flow", [False, True])
def test_a_step_takes_the_posterior_of_the_noise_nearest_to_its_own(flow, lab_backbone, lab_transformer):
    backbone = backbone_of(*lab_transformer) if flow else lab_backbone
    posteriors = Posteriors(NOISES, tuple("abcd"))  # only the choice is asked
    for noise, wanted in zip((0.0, 0.3, 0.6, 0.9), "abcd", strict=True):
        share = torch.tensor(noise)
        assert posteriors.at(backbone, share if flow else share / (1 - share.square()).sqrt()) == wanted


def test_each_noise_has_the_histograms_of_pictures_with_as_much_noise(lab_backbone, generator):
    shows, lacks = torch.rand(2, 5, 3, 32, 32, generator=generator)
    recorded = [record_denoiser(lab_backbone, pictures, seed=4) for pictures in (shows, lacks)]
    bank = METHODS["kmeans"].bank(recorded[0], 3, seeds=1)
    steps = []
    found = posteriors_of(lab_backbone, bank, shows, lacks, (0.1, 0.9), 4, lambda *step: steps.append(step))
    known = posterior_of(*(encode(bank, one).values.flatten(0, 1) for one in recorded))
    assert torch.equal(found.each[0].shares, known.shares) and torch.equal(found.each[0].most, known.most)
    assert not torch.equal(found.each[1].most, known.most)
    assert steps[-1] == (20, 20) and steps == sorted(steps)


@pytest.mark.parametrize("change", [{"kind": "encoder"}, {"fingerprint": (9.0,)}])
def test_a_bank_of_another_model_is_refused_before_any_picture_is_read(lab_backbone, generator, monkeypatch, change):
    pictures = torch.rand(2, 3, 32, 32, generator=generator)
    bank = METHODS["kmeans"].bank(record_denoiser(lab_backbone, pictures), 2, seeds=1)
    monkeypatch.setattr(attenuation, "record_denoiser", None)
    with pytest.raises(ValueError, match="these ingredients were found in"):
        posteriors_of(lab_backbone, replace(bank, origin=replace(bank.origin, **change)), pictures, pictures)
