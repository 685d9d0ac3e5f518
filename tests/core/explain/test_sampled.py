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


def recorded(*samples, start=1.0):
    """A recording of runs that gave these samples, of latents that hold the same numbers."""
    recording = Recording((0.5,))
    for gave in samples:
        run = SampledRun(levels(0.5), keep=recording.runs.append)
        run.corrected(torch.zeros_like(gave), gave, torch.tensor(start), 1.0)
        run.finished(gave)
    return recording


def pictures(count, value=0.0):
    return torch.full((count, 1, 1, 1), float(value))


def test_the_run_is_the_one_that_gave_the_samples():
    recording = recorded(pictures(2, 1), pictures(2, 2), pictures(3, 3))
    for value in (1, 2):
        latents, note = recording.latents(0.5, pictures(2, value))
        assert float(latents[0]) == value and note == ""


def test_samples_of_no_run_are_read_from_the_last_of_as_many_pictures():
    latents, note = recorded(pictures(2, 1), pictures(2, 2), pictures(3, 3)).latents(0.5, pictures(2, 9))
    assert float(latents[0]) == 2 and "did not come straight out of the last 3 runs" in note
    assert recorded(pictures(2, 1)).latents(0.5, pictures(2, 9))[1] == ""
    with pytest.raises(ValueError, match="runs of 1, 2 pictures were recorded, and 4 are connected"):
        recorded(pictures(1), pictures(2)).latents(0.5, pictures(4))


def test_a_run_that_does_not_end_leaves_nothing():
    recording = Recording((0.5,))
    SampledRun(levels(0.5), keep=recording.runs.append).corrected(pictures(1), pictures(1), torch.tensor(1.0), 1.0)
    assert not recording.runs


def test_what_was_not_recorded_is_refused():
    with pytest.raises(ValueError, match="noise 0.1 was not recorded, only 0.5"):
        recorded(pictures(1)).latents(0.1, pictures(1))
    with pytest.raises(ValueError, match="no sampler has run"):
        Recording((0.5,)).latents(0.5, pictures(1))
    with pytest.raises(ValueError, match="began with less noise than 0.5"):
        recorded(pictures(1), start=0.2).latents(0.5, pictures(1))
    with pytest.raises(ValueError, match="shares of 0 to 1"):
        Recording((0.1, 1.5))
