"""Conditionings and areas that hold in parts of denoising, chosen by the noise level as ComfyUI chooses them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.backbone import Conditioning
from ...core.compose.parts.areas import Area
from ...core.schedule import sigma_of_timestep
from ..shared.timed_conditioning import Timed


@dataclass(frozen=True, eq=False)
class Held:
    """A conditioning and the noise levels at which it holds, both included."""

    conditioning: Conditioning
    most: float
    least: float


def held_at(spans: Sequence[Held], sigma: Tensor) -> list[Conditioning]:
    """Those that hold at a noise level (); at a border two may."""
    level = float(sigma)
    return [one.conditioning for one in spans if one.least <= level <= one.most]


def levels_of(timed: Sequence[Timed], table: Tensor, flow: bool) -> tuple[Held, ...]:
    """Shares of denoising as noise levels of the model's table (T,)."""
    return tuple(Held(one.conditioning, _level(one.start, table, flow), _level(one.end, table, flow)) for one in timed)


@dataclass(frozen=True, eq=False)
class HeldArea:
    """An area and the noise levels at which it holds, both included."""

    area: Area
    most: float
    least: float


def area_levels(areas: Sequence[Area], table: Tensor, flow: bool) -> tuple[HeldArea, ...]:
    """The same of areas, by their own start and end."""
    return tuple(HeldArea(one, _level(one.start, table, flow), _level(one.end, table, flow)) for one in areas)


def areas_at(held: Sequence[HeldArea], sigma: Tensor) -> list[Area]:
    """Those that hold at a noise level ()."""
    level = float(sigma)
    return [one.area for one in held if one.least <= level <= one.most]


def _level(share: float, table: Tensor, flow: bool) -> float:
    if share <= 0:
        return float("inf")
    if share >= 1:
        return 0.0
    if flow:
        position = torch.tensor((1 - share) * len(table) - 1).clamp(0, len(table) - 1)
        low, high = int(position.floor()), int(position.ceil())
        return float(torch.lerp(table[low].float(), table[high].float(), position.frac()))
    return float(sigma_of_timestep(torch.tensor((1 - share) * (len(table) - 1)), table))
