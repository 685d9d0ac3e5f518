import pytest
import torch

from concept_atelier.core import schedule


@pytest.fixture(scope="module")
def alphas():
    return schedule.scaled_linear_alphas()


def test_scaled_linear_alphas_fall_between_known_ends(alphas):
    assert alphas.shape == (1000,) and alphas.dtype == torch.float64
    assert (alphas.diff() < 0).all()
    assert alphas[0].item() == pytest.approx(1 - 0.00085)
    sigmas = schedule.sigmas_of(alphas)
    assert sigmas[0].item() == pytest.approx(0.0291672, abs=1e-6)
    assert sigmas[-1].item() == pytest.approx(14.614641, abs=1e-5)  # of Stable Diffusion 1.5


def test_add_noise_takes_each_rows_own_timestep(alphas, generator):
    latent, noise = torch.randn(2, 3, 4, 5, generator=generator), torch.randn(2, 3, 4, 5, generator=generator)
    noisy = schedule.add_noise(latent, noise, torch.tensor([0, 999]), alphas)
    assert noisy.dtype == torch.float32
    for row, timestep in enumerate((0, 999)):
        a = alphas[timestep].item()
        torch.testing.assert_close(noisy[row], a**0.5 * latent[row] + (1 - a) ** 0.5 * noise[row])


def test_conversions_recover_the_noise_and_the_clean_latent(alphas, generator):
    clean, noise = torch.randn(2, 4, 3, 3, generator=generator), torch.randn(2, 4, 3, 3, generator=generator)
    timestep = torch.tensor([100, 700])
    noisy = schedule.add_noise(clean, noise, timestep, alphas)
    a = alphas[timestep].float().view(2, 1, 1, 1)
    velocity = a.sqrt() * noise - (1 - a).sqrt() * clean
    close = {"rtol": 1e-3, "atol": 1e-4}
    torch.testing.assert_close(schedule.noise_from_velocity(velocity, noisy, timestep, alphas), noise, **close)
    torch.testing.assert_close(schedule.noise_from_clean(clean, noisy, timestep, alphas), noise, **close)
    torch.testing.assert_close(schedule.clean_from_noise(noise, noisy, timestep, alphas), clean, **close)


def test_snr_is_the_inverse_square_of_sigma(alphas):
    torch.testing.assert_close(schedule.snr(alphas) * schedule.sigmas_of(alphas) ** 2, torch.ones_like(alphas))


def test_sigmas_between_timesteps_are_geometric_means(alphas):
    table = schedule.sigmas_of(alphas)
    got = schedule.sigma_of_timestep(torch.tensor([-5.0, 0.0, 500.5, 999.0, 2000.0]), table)
    middle = (table[500] * table[501]).sqrt()
    torch.testing.assert_close(got, torch.stack([table[0], table[0], middle, table[999], table[999]]).float())


def test_timestep_of_sigma_inverts_the_table(alphas):
    table = schedule.sigmas_of(alphas)
    assert schedule.timestep_of_sigma(table, table).equal(torch.arange(1000))
    assert schedule.timestep_of_sigma(torch.tensor(1e6), table).item() == 999


@pytest.mark.parametrize("timestep", [-1, 1000])
def test_timesteps_outside_the_schedule_are_refused(alphas, timestep):
    with pytest.raises(ValueError, match="0..999"):
        schedule.add_noise(torch.zeros(1, 1), torch.zeros(1, 1), torch.tensor([timestep]), alphas)


@pytest.mark.parametrize(
    "made",
    [schedule.DiffusionSchedule(schedule.scaled_linear_alphas()), schedule.FlowSchedule(torch.rand(50).sort()[0])],
)
def test_every_schedule_takes_noise_out_again(made, generator):
    clean, noise = torch.randn(2, 2, 4, 3, 3, generator=generator)
    timestep = torch.tensor([1, made.steps - 2])
    noisy = made.add_noise(clean, noise, timestep)
    torch.testing.assert_close(made.clean_from_noise(noise, noisy, timestep), clean, rtol=1e-3, atol=1e-3)
    found = made.clean_from_target(made.target(clean, noise), noisy, timestep)
    torch.testing.assert_close(found, clean, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="timesteps must lie in 0.."):
        made.add_noise(clean, noise, torch.tensor([0, made.steps]))


def test_a_flow_mixes_in_a_straight_line_and_its_velocity_gives_the_noise(generator):
    flow = schedule.FlowSchedule(torch.tensor([0.25, 0.5]))
    clean, noise = torch.randn(2, 1, 4, 3, 3, generator=generator)
    noisy = flow.add_noise(clean, noise, torch.tensor([0]))
    torch.testing.assert_close(noisy, 0.75 * clean + 0.25 * noise)
    torch.testing.assert_close(flow.noise_from_velocity(noise - clean, noisy, torch.tensor([0])), noise)
    assert flow.target(clean, noise).equal(noise - clean)


def test_schedules_made_under_inference_mode_take_part_in_a_backward_pass():
    with torch.inference_mode():
        made = [schedule.DiffusionSchedule(torch.tensor([0.9, 0.5])), schedule.FlowSchedule(torch.tensor([0.1, 0.5]))]
    for one in made:
        latent = torch.ones(1, 2, requires_grad=True)
        one.add_noise(latent, torch.ones(1, 2), torch.tensor([1])).sum().backward()
        assert latent.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "levels",
    [
        schedule.FlowSchedule(schedule.flow_sigmas(1000, 3.0).float()),
        schedule.DiffusionSchedule(schedule.scaled_linear_alphas().float()),
    ],
)
def test_the_timestep_has_the_share_of_noise_asked_for(levels):
    step = schedule.timestep_of_noise(levels, 0.5)
    share = levels.add_noise(torch.zeros(1), torch.ones(1), step)
    assert step.shape == (1,) and abs(float(share) - 0.5) < 0.01
    assert schedule.timestep_of_noise(levels, 0.0) == 0 and schedule.timestep_of_noise(levels, 1.0) == levels.steps - 1
