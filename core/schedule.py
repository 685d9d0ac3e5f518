"""The noise schedule of discrete diffusion models (DDPM, Ho et al. 2020, arXiv 2006.11239, eq. 4).

``x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise`` with ``a`` the cumulated alphas, falling with t. The same noise level
in the variance-exploding view is ``sigma_t = sqrt((1 - a_t) / a_t)``, with ``x_t / sqrt(a_t) = x_0 + sigma_t noise``.
"""

import torch
from torch import Tensor


def scaled_linear_alphas(steps: int = 1000, beta_start: float = 0.00085, beta_end: float = 0.012) -> Tensor:
    """Cumulated alphas (T,) of betas whose square roots are evenly spaced (latent diffusion models), float64."""
    betas = torch.linspace(beta_start**0.5, beta_end**0.5, steps, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, dim=0)


def add_noise(latent: Tensor, noise: Tensor, timestep: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """Latents (B, ...) at ``timestep`` (B,) long; differentiable in both tensors."""
    signal, spread = _shares(timestep, alphas_cumprod, latent)
    return signal * latent + spread * noise


def noise_from_velocity(velocity: Tensor, noisy: Tensor, timestep: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """Noise (B, ...) from ``v = sqrt(a) noise - sqrt(1 - a) x_0`` (Salimans & Ho 2022, arXiv 2202.00512, sec. 4)."""
    signal, spread = _shares(timestep, alphas_cumprod, noisy)
    return signal * velocity + spread * noisy


def noise_from_clean(clean: Tensor, noisy: Tensor, timestep: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """Noise (B, ...) from a prediction of ``x_0``."""
    signal, spread = _shares(timestep, alphas_cumprod, noisy)
    return (noisy - signal * clean) / spread


def clean_from_noise(noise: Tensor, noisy: Tensor, timestep: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """``x_0`` (B, ...) from a prediction of the noise."""
    signal, spread = _shares(timestep, alphas_cumprod, noisy)
    return (noisy - spread * noise) / signal


def snr(alphas_cumprod: Tensor) -> Tensor:
    """Signal to noise ratio ``a / (1 - a)`` per timestep (T,)."""
    return alphas_cumprod / (1 - alphas_cumprod)


def sigmas_of(alphas_cumprod: Tensor) -> Tensor:
    """Noise level ``sqrt((1 - a) / a)`` per timestep (T,), rising."""
    return ((1 - alphas_cumprod) / alphas_cumprod).sqrt()


def sigma_of_timestep(timestep: Tensor, sigmas: Tensor) -> Tensor:
    """Noise levels, float32, at timesteps that may be fractional: linear between table entries in the logarithm.

    Timesteps outside the table (T,) take its ends.
    """
    logs = sigmas.log().float()
    position = timestep.float().clamp(0, len(sigmas) - 1)
    low, high, share = position.floor().long(), position.ceil().long(), position.frac()
    return ((1 - share) * logs[low] + share * logs[high]).exp()


def timestep_of_sigma(sigma: Tensor, sigmas: Tensor) -> Tensor:
    """The timestep (long) whose noise level in the table (T,) is nearest to each sigma, in the logarithm.

    In float32, so that a level half-way between two timesteps goes the same way as in ComfyUI.
    """
    distance = (sigma.float()[..., None].log() - sigmas.log().float()).abs()
    return distance.argmin(dim=-1)


def _shares(timestep: Tensor, alphas_cumprod: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """``sqrt(a)`` and ``sqrt(1 - a)`` per row, shaped to multiply ``like`` and in its dtype."""
    if not 0 <= int(timestep.min()) <= int(timestep.max()) < len(alphas_cumprod):
        raise ValueError(f"timesteps must lie in 0..{len(alphas_cumprod) - 1}, got {timestep.tolist()}")
    alphas = alphas_cumprod.to(like.device)[timestep.to(like.device)]
    alphas = alphas.view(-1, *[1] * (like.ndim - 1))
    return alphas.sqrt().to(like.dtype), (1 - alphas).sqrt().to(like.dtype)
