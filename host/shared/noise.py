"""NOISE that is known already, in place of noise that a seed draws."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class GivenNoise:
    """What a NOISE socket carries: ComfyUI's samplers ask it for the noise of a LATENT.

    Attributes:
        noise: (B, C, h, w).
        seed: of what else a sampler draws.
    """

    noise: Tensor
    seed: int = 0

    def generate_noise(self, input_latent: Mapping[str, Any]) -> Tensor:
        """The noise, in the shape of ``samples``. Raises ``ValueError`` for a LATENT of another size."""
        samples: Tensor = input_latent["samples"]
        if samples.numel() != self.noise.numel() or samples.shape[-2:] != self.noise.shape[-2:]:
            raise ValueError(
                f"the noise belongs to a latent of {tuple(self.noise.shape)} and the latent is {tuple(samples.shape)}; "
                "use an empty latent of as many pictures in the size of the picture that was inverted"
            )
        return self.noise.reshape(samples.shape).clone()
