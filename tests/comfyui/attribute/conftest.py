"""A sampling run that is captured, and its heat maps."""

import pytest
import torch

TEXT = "a photo of a cat and a hippopotamus"
SIZE = (12, 16)


@pytest.fixture
def sample(stock, encode):
    """Sample with the stock KSampler; a LATENT."""

    def go(parts, model=None, positive=None, negative=None, batch=1, size=SIZE, latent=None, **changes):
        inputs = {
            "positive": encode(parts, TEXT) if positive is None else positive,
            "negative": encode(parts, "") if negative is None else negative,
            "latent_image": {"samples": torch.zeros(batch, 4, *size)} if latent is None else latent,
        }
        settings = {"seed": 5, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
        return stock("KSampler", model=model or parts["model"], **inputs, **(settings | changes))[0]

    return go


@pytest.fixture
def capture(run):
    """Capture Attention with all layers: MODEL and CAPTURE."""

    def go(parts, **changes):
        return run("CaptureAttention", model=parts["model"], **({"least_grid": 1, "stages": "all"} | changes))

    return go


@pytest.fixture
def show(run):
    def go(parts, recorded_maps, latent, text=TEXT, words="cat", **changes):
        plain = {"normalise": "absolute", "per_cell": False}
        given = {"capture": recorded_maps, "clip": parts["clip"], "samples": latent, "text": text, "words": words}
        return run("ShowWordHeatmap", **(given | plain | changes))

    return go
