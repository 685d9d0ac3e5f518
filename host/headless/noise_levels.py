"""Which noise levels a sampler visits, as ComfyUI's schedulers choose them.

All take the model's table of noise levels (T,), rising, and return (steps + 1,) falling float32 levels that end at 0.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ...core.messages import listed, shown
from ...core.schedule import sigma_of_timestep, sigmas_of
from ..shared.handles import ModelHandle

KARRAS_RHO = 7.0


def normal(table: Tensor, steps: int) -> Tensor:
    """Evenly spaced timesteps, both ends included."""
    timesteps = torch.linspace(len(table) - 1, 0, steps)
    return _ending_at_zero(sigma_of_timestep(timesteps, table))


def normal_flow(table: Tensor, steps: int) -> Tensor:
    """:func:`normal` of a flow, whose timesteps are read from its noise levels: 1 to the table's least."""
    times = torch.linspace(1, float(table[0]), steps, dtype=torch.float64)
    position = (times * len(table) - 1).clamp(min=0)
    low, high = position.floor().long(), position.ceil().long()
    return _ending_at_zero(torch.lerp(table[low], table[high], position.frac()))


def simple(table: Tensor, steps: int) -> Tensor:
    """Entries of the table at even distances, from the noisiest."""
    stride = len(table) / steps
    return _ending_at_zero(table[[-1 - int(step * stride) for step in range(steps)]])


def karras(table: Tensor, steps: int) -> Tensor:
    """Evenly spaced in the seventh root (Karras et al. 2022, arXiv 2206.00364, eq. 5)."""
    most, least = (float(table[end].float()) ** (1 / KARRAS_RHO) for end in (-1, 0))
    return _ending_at_zero((most + torch.linspace(0, 1, steps) * (least - most)) ** KARRAS_RHO)


MAX_STEPS = 10_000_000
"""Of the longer run that ``denoise`` cuts the last steps out of."""

SCHEDULERS: Mapping[str, Callable[[Tensor, int], Tensor]] = {"normal": normal, "simple": simple, "karras": karras}


FLOW_SCHEDULERS = {**SCHEDULERS, "normal": normal_flow}
"""The same for a table of a flow's shares of noise, which ends at 1."""


def noise_levels(scheduler: str, table: Tensor, steps: int, denoise: float = 1.0, flow: bool = False) -> Tensor:
    """The levels of a run; with ``denoise`` below 1 only the last ``steps`` of a proportionally longer one.

    ``denoise`` 0 gives no levels at all.

    Raises:
        ValueError: for a scheduler that is not known, steps below 1, or denoise outside 0..1.
    """
    if scheduler not in SCHEDULERS:
        raise ValueError(f"scheduler {shown(scheduler)} is not supported headless; use {listed(SCHEDULERS)}")
    if steps < 1 or not 0 <= denoise <= 1:
        raise ValueError(f"steps must be at least 1 and denoise 0..1, got {steps} and {denoise}")
    if denoise == 0:
        return torch.zeros(0)
    if steps / denoise > MAX_STEPS:
        raise ValueError(f"denoise {denoise:g} of {steps} steps would be cut out of more than {MAX_STEPS}; raise it")
    total = steps if denoise > 0.9999 else int(steps / denoise)
    return (FLOW_SCHEDULERS if flow else SCHEDULERS)[scheduler](table, total)[-(steps + 1) :]


def model_levels(model: ModelHandle, scheduler: str, steps: int, denoise: float = 1.0) -> Tensor:
    """:func:`noise_levels` of a model."""
    return noise_levels(scheduler, level_table(model), steps, denoise, model.flow_sigmas is not None)


def level_table(model: ModelHandle) -> Tensor:
    """(T,) float64 the rising noise levels of a model: relative to the signal, or a flow's shares of noise."""
    return sigmas_of(model.alphas_cumprod.double()) if model.flow_sigmas is None else model.flow_sigmas


def _ending_at_zero(levels: Tensor) -> Tensor:
    return torch.cat([levels.float(), torch.zeros(1)])
