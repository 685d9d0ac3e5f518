"""Invert Picture: the stock sampler draws the picture again from what it gives."""

import pytest
import torch

from concept_atelier.host.workflow.stock import KSamplerAdvanced, VAEDecode
from concept_atelier.nodes import InvertPicture
from concept_atelier.nodes.erase.invert_picture import SCHEDULERS

STEPS = 6


@pytest.fixture
def redraw(call, encode, sockets):
    def go(latent, **changes):
        texts = {"positive": encode("a cat"), "negative": encode("")}
        settings = {"sampler_name": "euler", "scheduler": "normal", "steps": STEPS, "cfg": 1.0, "add_noise": "disable"}
        settings |= {"return_with_leftover_noise": "disable", "start_at_step": 0, "end_at_step": 10000, **changes}
        drawn = call(KSamplerAdvanced, model=sockets["model"], latent_image=latent, **texts, **settings)[0]
        return call(VAEDecode, samples=drawn, vae=sockets["vae"])[0]

    return go


@pytest.mark.parametrize("start", [0, 2])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_stock_sampler_draws_the_same_picture(call, sockets, image, redraw, scheduler, start):
    """What the node shows is drawn by its own steps; the sampler's are the same."""
    given = {"image": image, "prompt": "a cat", "steps": STEPS, "scheduler": scheduler, "start_at_step": start}
    latent, noise, drawn = call(InvertPicture, **sockets, **given, passes=3).args
    torch.testing.assert_close(redraw(latent, scheduler=scheduler, start_at_step=start), drawn, rtol=0, atol=0.02)
    assert noise.generate_noise(latent).shape == latent["samples"].shape


def test_it_says_how_far_the_picture_is_and_keeps_a_batch_apart(call, sockets, image):
    pair = torch.cat([image, image.flip(2)])
    out = call(InvertPicture, **sockets, image=pair, steps=4, passes=6)
    said = out.ui.as_dict()["text"][0] if hasattr(out.ui, "as_dict") else out.ui["text"][0]
    assert "Drawn again, the latent differs by" in said and "Each picture: " in said
    alone = call(InvertPicture, **sockets, image=pair[1:], steps=4, passes=6)
    torch.testing.assert_close(out[0]["samples"][1:], alone[0]["samples"], rtol=0.01, atol=0.05)


def test_a_flow_says_what_to_connect_and_its_latent_holds_the_share_of_the_picture(call, transformer, image):
    given = {**transformer, "image": image, "steps": 4, "passes": 2}
    whole = call(InvertPicture, **given)
    assert "SamplerCustomAdvanced" in whole.ui["text"][0]
    later = call(InvertPicture, **given, start_at_step=1)
    assert "SamplerCustomAdvanced" not in later.ui["text"][0]
    assert torch.isfinite(later[0]["samples"]).all()


def test_noise_of_another_size_and_a_step_that_is_none_are_refused(call, sockets, image):
    noise = call(InvertPicture, **sockets, image=image, steps=2, passes=1)[1]
    with pytest.raises(ValueError, match="belongs to a latent of"):
        noise.generate_noise({"samples": torch.zeros(1, 4, 4, 4)})
    with pytest.raises(ValueError, match="start_at_step must be from 0 to 1"):
        call(InvertPicture, **sockets, image=image, steps=2, start_at_step=2)
