"""Fixtures that draw from a fixed seed with the stock nodes: what must stay bit-identical."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

STEPS = {"seed": 5, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "denoise": 1.0}


@pytest.fixture(scope="session")
def encode(stock) -> Callable[..., Any]:
    """A text as CLIP Text Encode gives it, a CONDITIONING."""
    return lambda parts, text: stock("CLIPTextEncode", clip=parts["clip"], text=text)[0]


@pytest.fixture(scope="session")
def sample(stock, encode) -> Callable[..., torch.Tensor]:
    """What KSampler makes of an empty latent (batch, 4, 8, 12); ``positive`` is a text or a CONDITIONING."""

    def go(
        parts: dict[str, Any], model: Any = None, positive: Any = "a cat", batch: int = 1, **changes: Any
    ) -> torch.Tensor:
        given = {
            "model": parts["model"] if model is None else model,
            "positive": encode(parts, positive) if isinstance(positive, str) else positive,
            "negative": encode(parts, ""),
            "latent_image": {"samples": torch.zeros(batch, 4, 8, 12)},
        }
        return stock("KSampler", **(given | STEPS | {"scheduler": "normal"} | changes))[0]["samples"]

    return go


@pytest.fixture(scope="session")
def sample_transformer(stock, small) -> Callable[..., torch.Tensor]:
    """The same of a small transformer, between random conditionings or those that are given."""

    def go(
        family: str,
        model: Any,
        positive: Any = None,
        negative: Any = None,
        size: tuple[int, int] = (8, 12),
        batch: int = 1,
        **changes: Any,
    ) -> torch.Tensor:
        given = {
            "model": model,
            "positive": small.conditioning(family) if positive is None else positive,
            "negative": small.conditioning(family, 5, 2) if negative is None else negative,
            "latent_image": {"samples": small.latent(family, size, batch)},
        }
        return stock("KSampler", **(given | STEPS | {"scheduler": "simple"} | changes))[0]["samples"]

    return go


@pytest.fixture(scope="session")
def draw(stock) -> Callable[..., torch.Tensor]:
    """A picture from a fixed seed with the stock nodes; what must stay bit-identical."""

    def go(
        parts: dict[str, Any], text: str = "a cat", size: tuple[int, int] = (64, 96), **changes: Any
    ) -> torch.Tensor:
        encoded = [stock("CLIPTextEncode", clip=parts["clip"], text=words)[0] for words in (text, "")]
        latent = {"samples": torch.zeros(1, 4, size[0] // 8, size[1] // 8)}
        settings = {"seed": 3, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
        drawn = stock(
            "KSampler",
            model=parts["model"],
            positive=encoded[0],
            negative=encoded[1],
            latent_image=latent,
            **(settings | changes),
        )[0]
        return stock("VAEDecode", vae=parts["vae"], samples=drawn)[0]

    return go
