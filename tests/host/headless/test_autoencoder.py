import pytest
import torch

from concept_atelier.host.headless.autoencoder import WrappedAutoencoderKL
from concept_atelier.host.headless.backbone import DiffusersBackbone
from concept_atelier.host.shared.handles import VaeHandle


@pytest.fixture(scope="module")
def vae():
    from diffusers import AutoencoderKL

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoencoderKL(
            block_out_channels=(8, 8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            norm_num_groups=4,
        ).eval()


def test_it_encodes_to_the_mean_and_decodes(vae, generator):
    wrapped = WrappedAutoencoderKL(vae)
    picture = torch.rand(1, 3, 16, 24, generator=generator) * 2 - 1
    with torch.no_grad():
        latent = wrapped.encode(picture)
        assert latent.shape == (1, 4, 2, 3)
        assert latent.equal(vae.encode(picture).latent_dist.mode())
        assert wrapped.decode(latent).equal(vae.decode(latent).sample)


def test_a_backbone_takes_it(vae):
    backbone = DiffusersBackbone(vae=VaeHandle(WrappedAutoencoderKL(vae), 0.5))
    image = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        expected = vae.encode(image * 2 - 1).latent_dist.mode() * 0.5
    assert backbone.encode_image(image).equal(expected)
    assert backbone.decode_latent(expected).shape == image.shape
