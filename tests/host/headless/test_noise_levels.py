import pytest
import torch

from concept_atelier.core.schedule import scaled_linear_alphas, sigmas_of
from concept_atelier.host.headless.noise_levels import SCHEDULERS, noise_levels

TABLE = sigmas_of(scaled_linear_alphas())

# Of ComfyUI 0.19.3 for Stable Diffusion 1.5 and four steps.
COMFYUI = {
    "normal": [14.61464, 2.918307, 0.932358, 0.029167, 0.0],
    "simple": [14.614641, 4.081729, 1.612886, 0.693205, 0.0],
    "karras": [14.614643, 3.168605, 0.446919, 0.029167, 0.0],
}


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_levels_are_comfyuis(scheduler):
    got = noise_levels(scheduler, TABLE, 4)
    torch.testing.assert_close(got, torch.tensor(COMFYUI[scheduler]), rtol=0, atol=2e-6)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 2, 30, 1000])
def test_levels_fall_to_zero(scheduler, steps):
    levels = noise_levels(scheduler, TABLE, steps)
    assert levels.shape == (steps + 1,) and levels.dtype == torch.float32
    assert (levels.diff() < 0).all() and levels[-1] == 0


def test_denoise_walks_the_end_of_a_longer_way():
    assert noise_levels("normal", TABLE, 5, 0.5).equal(noise_levels("normal", TABLE, 10)[-6:])
    assert len(noise_levels("normal", TABLE, 5, 0.0)) == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("exponential", TABLE, 4), "normal, simple, karras"),
        (("normal", TABLE, 0), "steps"),
        (("normal", TABLE, 4, 1.5), "denoise"),
    ],
)
def test_bad_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        noise_levels(*wrong)
