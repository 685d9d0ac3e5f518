"""diffusers and transformers read the folder that ships, and find in it what we find."""

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel

from concept_atelier.lab.model.modules import alphas_cumprod
from concept_atelier.lab.model.weights import WEIGHTS, load_lab_model


@pytest.fixture(scope="module")
def ours():
    return load_lab_model()


@pytest.mark.parametrize(("part", "kind"), [("unet", UNet2DConditionModel), ("text_encoder", CLIPTextModel)])
def test_the_weights_are_the_same(ours, part, kind):
    theirs, expected = kind.from_pretrained(WEIGHTS / part).float().state_dict(), getattr(ours, part).state_dict()
    assert theirs.keys() == expected.keys()
    assert all(torch.equal(theirs[key], expected[key]) for key in expected)


def test_the_denoiser_predicts_the_same(ours):
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(1, 4, 8, 12, generator=generator)
    context = torch.randn(1, 77, 192, generator=generator)
    theirs = UNet2DConditionModel.from_pretrained(WEIGHTS / "unet").float().eval()
    with torch.no_grad():
        found, expected = (unet(latent, torch.tensor([500]), context).sample for unet in (theirs, ours.unet))
    torch.testing.assert_close(found, expected)


def test_the_schedule_is_the_same():
    theirs = DDIMScheduler.from_pretrained(WEIGHTS / "scheduler").alphas_cumprod
    torch.testing.assert_close(theirs, alphas_cumprod().float(), rtol=1e-4, atol=1e-6)
