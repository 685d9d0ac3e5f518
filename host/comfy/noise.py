"""Which noise level a timestep has on a MODEL of ComfyUI, whatever rule of sampling was put into it.

The pack counts timesteps from 0 to T - 1, and a share of denoising is a share of T. ComfyUI's rules hold a table of
noise levels, which is not always one entry per timestep: that of LCM has every twentieth of a thousand. Rules over
continuous time (EDM) have no such count; there the entries of their table are counted.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...core.devices import exact_device
from ...core.schedule import DiffusionSchedule, FlowSchedule, timestep_of_sigma

FLOW_STEPS = 1000
"""Timesteps of flow models, whatever the length of their table: that of ComfyUI's FLUX rule has ten thousand."""

_HIGHEST = 0.999  # pure noise has nothing of the picture in it to divide by


@dataclass(frozen=True, eq=False)
class NoiseLevels:
    """The noise levels of a ``model_sampling`` of ComfyUI."""

    rule: Any

    @cached_property
    def sigmas(self) -> Tensor:
        """(T,) noise level, relative to the signal, of each timestep. A step between two entries takes the nearer."""
        table, counted = self.rule.sigmas, self._counted
        if counted is None or counted == (0, 1):
            return table
        first, step = counted
        times = torch.arange(first + step * (len(table) - 1) + 1, device=table.device)
        nearest = ((times - first) / step).round().long().clamp(0, len(table) - 1)
        return table[nearest]

    @property
    def schedule(self) -> DiffusionSchedule:
        """Its noise levels, as methods see them."""
        return DiffusionSchedule(self.alphas_cumprod)

    @property
    def alphas_cumprod(self) -> Tensor:
        """(T,) float64 share of the signal per timestep."""
        sigmas = self.sigmas.to(exact_device(self.sigmas.device))
        return 1 / (1 + sigmas.double() ** 2)

    def timestep(self, sigma: Tensor) -> float:
        """The timestep of a noise level (1,)."""
        if self._counted is not None:
            return float(self.rule.timestep(sigma)[0])
        return float(timestep_of_sigma(sigma.to(self.sigmas.device), self.sigmas)[0])

    @cached_property
    def _counted(self) -> tuple[int, int] | None:
        """Timestep of the table's first entry and steps from one entry to the next; None where time is continuous."""
        table = self.rule.sigmas
        first, last = (float(self.rule.timestep(table[end : end + 1])) for end in (0, len(table) - 1))
        step = (last - first) / max(1, len(table) - 1)
        whole = all(value == int(value) for value in (first, step)) and first >= 0 and step >= 1
        return (int(first), int(step)) if whole else None


@dataclass(frozen=True, eq=False)
class FlowLevels:
    """The noise levels of a flow model's ``model_sampling``, shifted towards noise as its sampling is."""

    rule: Any

    @cached_property
    def sigmas(self) -> Tensor:
        """(T,) share of noise of each timestep, rising."""
        table = self.rule.sigmas
        ends = torch.arange(1, FLOW_STEPS + 1, device=table.device) * len(table) / FLOW_STEPS
        return table[(ends.round().long() - 1).clamp_min(0)].clamp_max(_HIGHEST)

    @property
    def schedule(self) -> FlowSchedule:
        """Its noise levels, as methods see them."""
        return FlowSchedule(self.sigmas)

    def timestep(self, sigma: Tensor) -> float:
        """The timestep of a noise level (1,)."""
        return float((self.sigmas - sigma.to(self.sigmas)).abs().argmin())


def levels_of(rule: Any) -> NoiseLevels | FlowLevels:
    """The noise levels of a ``model_sampling``."""
    import comfy.model_sampling as sampling

    return FlowLevels(rule) if isinstance(rule, sampling.CONST) else NoiseLevels(rule)


def sampler_levels(patcher: Any, scheduler: str, steps: int) -> Tensor:
    """(steps + 1,) the falling noise levels that ComfyUI's samplers visit on a MODEL."""
    import comfy.samplers

    return comfy.samplers.calculate_sigmas(patcher.get_model_object("model_sampling"), scheduler, steps).float().cpu()
