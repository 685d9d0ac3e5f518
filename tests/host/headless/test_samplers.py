import pytest
import torch

from concept_atelier.host.headless.samplers import SAMPLERS, split_level

LEVELS = torch.tensor([10.0, 4.0, 1.0, 0.0])


def run(name, denoise, start, seed=0):
    steps = []
    result = SAMPLERS[name](denoise, start, LEVELS, torch.Generator().manual_seed(seed), steps.append)
    assert steps == [1, 2, 3]
    return result


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_perfect_denoiser_is_followed_to_the_clean_latent(name, generator):
    clean = torch.randn(1, 4, 2, 2, generator=generator)
    result = run(name, lambda x, sigma: clean, clean + 10 * torch.randn(1, 4, 2, 2, generator=generator))
    torch.testing.assert_close(result, clean, rtol=1e-4, atol=1e-4)


def test_euler_on_a_gaussian_has_its_closed_form():
    """For data of variance 1 the denoiser is x / (1 + sigma^2); a step multiplies x by a known factor."""
    factor = 1.0
    for sigma, following in zip(LEVELS, LEVELS[1:], strict=False):
        factor *= 1 + sigma / (1 + sigma**2) * (following - sigma)
    result = run("euler", lambda x, sigma: x / (1 + sigma**2), torch.ones(1, 1, 1, 1))
    torch.testing.assert_close(result, factor.view(1, 1, 1, 1))
    assert run("ddim", lambda x, sigma: x / (1 + sigma**2), torch.ones(1, 1, 1, 1)).equal(result)


def test_ancestral_noise_keeps_the_levels():
    for sigma, following in zip(LEVELS[:-1], LEVELS[1:], strict=True):
        down, up = split_level(sigma, following)
        torch.testing.assert_close(down**2 + up**2, following**2)
    assert up == 0 and down == 0


def test_ancestral_noise_comes_from_the_generator():
    def shrink(x, sigma):
        return x / (1 + sigma**2)

    start = torch.ones(1, 4, 2, 2)
    assert run("euler_ancestral", shrink, start, 1).equal(run("euler_ancestral", shrink, start, 1))
    assert not run("euler_ancestral", shrink, start, 1).equal(run("euler_ancestral", shrink, start, 2))


def test_ancestral_steps_arrive_at_the_next_noise_level(generator):
    """With a perfect denoiser the latent is pure noise of each level in turn."""
    seen = []

    def nothing_is_clean(x, sigma):
        seen.append(x.std().item())
        return torch.zeros_like(x)

    run("euler_ancestral", nothing_is_clean, 10 * torch.randn(1, 4, 100, 100, generator=generator), seed=1)
    assert seen == pytest.approx([10.0, 4.0, 1.0], rel=0.03)
