"""The autoencoder's shapes and its folded scale."""

import pytest
import torch

from concept_atelier.lab.model.vae import SCALING_FACTOR, LabVAE


@pytest.fixture
def vae():
    torch.manual_seed(0)
    return LabVAE(fine=16, coarse=32).eval()


def test_shapes(vae):
    latent = vae.encode(torch.rand(2, 3, 64, 40))
    assert latent.shape == (2, 4, 8, 5)
    assert vae.decode(latent).shape == (2, 3, 64, 40)


def test_folding_the_scale_keeps_pictures_and_fixes_the_deviation(vae):
    picture = torch.rand(4, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        mean, logvar = vae.moments(picture)
        before = vae.decode(mean)
        vae.fold_scale(mean.std((0, 2, 3)))
        latent, spread = vae.moments(picture)
        assert torch.allclose((latent * SCALING_FACTOR).std((0, 2, 3)), torch.ones(4), atol=1e-4)
        assert torch.allclose(vae.decode(latent), before, atol=1e-4)
        assert torch.allclose(
            (spread - logvar).exp().sqrt(),
            (latent.std((0, 2, 3)) / mean.std((0, 2, 3)))[:, None, None].expand_as(spread),
            rtol=1e-3,
        )
