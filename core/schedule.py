"""How models mix pictures and noise.

Methods see a :class:`Schedule`: a number of timesteps, and how much noise belongs to each. There are two:

- :class:`DiffusionSchedule` (DDPM, Ho et al. 2020, arXiv 2006.11239, eq. 4): ``x_t = sqrt(a_t) x_0 + sqrt(1 - a_t)
  noise`` with ``a`` the cumulated alphas, falling with t. The same noise level in the variance-exploding view is
  ``sigma_t = sqrt((1 - a_t) / a_t)``, with ``x_t / sqrt(a_t) = x_0 + sigma_t noise``.
- :class:`FlowSchedule` (rectified flow, Liu et al. 2023, arXiv 2209.03003): ``x_t = (1 - s_t) x_0 + s_t noise`` with
  ``s`` rising with t.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Schedule(Protocol):
    """The noise levels a model was trained on. Timesteps are integers from 0 (clean) to ``steps - 1`` (noise)."""

    @property
    def steps(self) -> int:
        """T, the number of timesteps."""
        ...

    def add_noise(self, clean: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """Latents (B, ...) at ``timestep`` (B,) long; differentiable in both tensors."""
        ...

    def clean_from_noise(self, noise: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        """``x_0`` (B, ...) from a prediction of the noise in ``noisy`` at ``timestep`` (B,) long."""
        ...

    def clean_from_target(self, target: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        """The same from a prediction of :meth:`target`."""
        ...

    def target(self, clean: Tensor, noise: Tensor) -> Tensor:
        """What the training loss asks the model for: the noise, or a flow's velocity ``noise - x_0``."""
        ...


@dataclass(frozen=True, eq=False)
class DiffusionSchedule:
    """The schedule of a discrete diffusion model.

    Attributes:
        alphas_cumprod: (T,) signal share per timestep, falling.
    """

    alphas_cumprod: Tensor

    @property
    def steps(self) -> int:
        return len(self.alphas_cumprod)

    def add_noise(self, clean: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        # Cloned, because a tensor made under inference mode cannot take part in a backward pass.
        return add_noise(clean, noise, timestep, self.alphas_cumprod.clone())

    def clean_from_noise(self, noise: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        return clean_from_noise(noise, noisy, timestep, self.alphas_cumprod.clone())

    def clean_from_target(self, target: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        return self.clean_from_noise(target, noisy, timestep)

    def target(self, clean: Tensor, noise: Tensor) -> Tensor:
        return noise


@dataclass(frozen=True, eq=False)
class FlowSchedule:
    """The schedule of a flow-matching model.

    Attributes:
        sigmas: (T,) noise share per timestep, rising, above 0 and below 1.
    """

    sigmas: Tensor

    @property
    def steps(self) -> int:
        return len(self.sigmas)

    def add_noise(self, clean: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        share = self._shares(timestep, clean)
        return (1 - share) * clean + share * noise

    def clean_from_noise(self, noise: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        share = self._shares(timestep, noisy)
        return (noisy - share * noise) / (1 - share)

    def clean_from_target(self, target: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        return noisy - self._shares(timestep, noisy) * target

    def target(self, clean: Tensor, noise: Tensor) -> Tensor:
        return noise - clean

    def noise_from_velocity(self, velocity: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        """Noise (B, ...) from the velocity ``noise - x_0`` that such models predict."""
        return noisy + (1 - self._shares(timestep, noisy)) * velocity

    def _shares(self, timestep: Tensor, like: Tensor) -> Tensor:
        return _rows_of(self.sigmas.clone(), timestep, like).to(like)


def flow_sigmas(steps: int = 1000, shift: float = 1.0) -> Tensor:
    """(steps,) float64 shares of noise, rising to 1, shifted towards noise (Esser et al. 2024, arXiv 2403.03206,
    eq. 23)."""
    even = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    return shift * even / (1 + (shift - 1) * even)


def alphas_of_flow(sigmas: Tensor) -> Tensor:
    """The cumulated alphas (T,) with the ratio of signal to noise that a flow has at noise shares (T,)."""
    return (1 - sigmas) ** 2 / ((1 - sigmas) ** 2 + sigmas**2)


def flow_of_alphas(alphas_cumprod: Tensor) -> Tensor:
    """The noise shares (T,) of a flow with the ratio of signal to noise of cumulated alphas (T,)."""
    return (1 - alphas_cumprod).sqrt() / (alphas_cumprod.sqrt() + (1 - alphas_cumprod).sqrt())


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
    distance = (sigma.float()[..., None].log() - sigmas.log().float()).abs()  # (..., T)
    return distance.argmin(dim=-1)


def timestep_of_noise(schedule: Schedule, share: float) -> Tensor:
    """The timestep (1,) whose share of noise in a picture is nearest to ``share``, 0..1."""
    every = torch.arange(schedule.steps)
    shares = schedule.add_noise(torch.zeros(schedule.steps), torch.ones(schedule.steps), every)  # (T,)
    return (shares - share).abs().argmin()[None]


def noise_of_level(schedule: Schedule, level: Tensor) -> float:
    """The share of noise in a picture, 0..1, at a sampler's noise level (): sigma, of flows their share itself."""
    flow = isinstance(schedule, FlowSchedule)
    return float(level if flow else level / (1 + level.square()).sqrt())


def _shares(timestep: Tensor, alphas_cumprod: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """``sqrt(a)`` and ``sqrt(1 - a)`` per row, shaped to multiply ``like`` and in its dtype."""
    alphas = _rows_of(alphas_cumprod, timestep, like)  # (B, 1, ...)
    return alphas.sqrt().to(like), (1 - alphas).sqrt().to(like)


def _rows_of(table: Tensor, timestep: Tensor, like: Tensor) -> Tensor:
    """The entries of a table (T,) at timesteps (B,), shaped (B, 1, ...) to multiply ``like`` (B, ...). They stay where
    the table is: not every device has its float64."""
    if not 0 <= int(timestep.min()) <= int(timestep.max()) < len(table):
        raise ValueError(f"timesteps must lie in 0..{len(table) - 1}, got {timestep.tolist()}")
    return table[timestep.to(table.device)].view(-1, *[1] * (like.ndim - 1))  # (B,) to (B, 1, ...)
