"""What a model's output says of the clean latent."""

import pytest
import torch

from concept_atelier.host.headless.guided import clean_latent


@pytest.mark.parametrize(("kind", "sigma"), [("epsilon", 3.0), ("v_prediction", 3.0), ("sample", 3.0)])
def test_every_kind_of_prediction_gives_the_clean_latent(kind, sigma, generator):
    clean, noise = torch.randn(1, 4, 2, 2, generator=generator), torch.randn(1, 4, 2, 2, generator=generator)
    a = 1 / (1 + sigma**2)
    velocity = a**0.5 * noise - (1 - a) ** 0.5 * clean
    output = {"epsilon": noise, "v_prediction": velocity, "sample": clean}[kind]
    got = clean_latent(output, clean + sigma * noise, torch.tensor(sigma), kind)
    torch.testing.assert_close(got, clean, rtol=1e-4, atol=1e-5)
