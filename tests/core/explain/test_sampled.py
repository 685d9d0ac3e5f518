import pytest
import torch

from concept_atelier.core.explain.sampled import Recording, SampledRun


def levels(*shares):
    return {share: torch.tensor(float(share)) for share in shares}


def test_latents_lie_where_euler_passes():
    """Steps of a known straight path: x = clean + level * noise."""
    clean, noise = torch.full((2, 4, 3, 3), 2.0), torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    run = SampledRun(levels(0.8, 0.5, 0.1))
    for level in (1.0, 0.7, 0.5, 0.2):
        assert run.corrected(noise, clean + level * noise, torch.tensor(level), 4.0) is noise
    for share in (0.8, 0.5, 0.1):
        torch.testing.assert_close(run.latents[share], clean + share * noise)


def test_the_last_step_above_a_level_counts():
    run, zeros = SampledRun(levels(0.3)), torch.zeros(1, 1, 1, 1)
    for number, level in enumerate((0.9, 0.4, 0.2)):
        run.corrected(torch.full_like(zeros, number + 1.0), zeros, torch.tensor(level), 1.0)
    assert float(run.latents[0.3]) == pytest.approx((0.3 - 0.4) * 2)


def recorded(*counts, start=1.0):
    recording = Recording((0.5,))
    for count in counts:
        run = SampledRun(levels(0.5))
        latent = torch.full((count, 1, 1, 1), float(count))
        run.corrected(torch.zeros_like(latent), latent, torch.tensor(start), 1.0)
        recording.runs.append(run)
    return recording


def test_the_run_is_the_last_of_so_many_pictures():
    assert float(recorded(1, 3, 2).latents(0.5, 3)[0]) == 3
    with pytest.raises(ValueError, match="runs of 1, 2 pictures were recorded, and 4 are connected"):
        recorded(1, 2).latents(0.5, 4)


def test_what_was_not_recorded_is_refused():
    with pytest.raises(ValueError, match="noise 0.1 was not recorded, only 0.5"):
        recorded(1).latents(0.1, 1)
    with pytest.raises(ValueError, match="no sampler has run"):
        Recording((0.5,)).latents(0.5, 1)
    with pytest.raises(ValueError, match="began with less noise than 0.5"):
        recorded(1, start=0.2).latents(0.5, 1)
    with pytest.raises(ValueError, match="shares of 0 to 1"):
        Recording((0.1, 1.5))
