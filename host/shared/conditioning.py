"""Between ComfyUI's CONDITIONING and :class:`~concept_atelier.core.backbone.Conditioning`.

CONDITIONING is a list of ``[context (B, L, D), {"pooled_output": (B, d), ...}]``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.backbone import Conditioning
from ...core.messages import listed
from ...core.sampling import of_one_length

_READ = frozenset({"pooled_output", "time_ids"})


def to_comfy(conditioning: Conditioning) -> list[list[Any]]:
    """A CONDITIONING with one entry."""
    return [[conditioning.context, dict(conditioning.extras)]]


def from_comfy(entries: Sequence[Sequence[Any]], name: str = "CONDITIONING") -> Conditioning:
    """The only entry of a CONDITIONING.

    Raises:
        ValueError: for several entries, or entries that carry areas, masks, step ranges or control nets, which this
            sampler does not read.
    """
    if len(entries) != 1:
        raise ValueError(
            f"{name} has {len(entries)} entries; the headless sampler takes one (no combined conditionings)"
        )
    context, extras = entries[0]
    unread = [key for key, value in extras.items() if key not in _READ and value is not None]
    if unread:
        raise ValueError(f"{name} carries {listed(unread)}, which the headless sampler does not support")
    return Conditioning(context, {key: value for key, value in extras.items() if value is not None})


def join(first: Conditioning, second: Conditioning) -> Conditioning:
    """The rows of both, contexts of unequal lengths repeated, see :func:`~...core.sampling.of_one_length`."""
    context = torch.cat(of_one_length([first.context, second.context]))
    shared: Mapping[str, Tensor] = {
        key: torch.cat([first.extras[key], second.extras[key]]) for key in first.extras if key in second.extras
    }
    return Conditioning(context, shared)


def first_row(conditioning: Conditioning) -> Conditioning:
    """Its first row alone, for a pass that only measures."""
    extras = {name: rows if rows.ndim == 1 else rows[:1] for name, rows in conditioning.extras.items()}
    return Conditioning(conditioning.context[:1], extras)


def check_rows(latent: Tensor, timestep: Tensor, conditioning: Conditioning) -> None:
    """Raise ``ValueError`` unless a latent (B, C, h, w), timesteps (B,) and a conditioning have one number of rows."""
    rows = len(latent), len(timestep), len(conditioning.context)
    if latent.ndim != 4 or len(set(rows)) != 1:
        raise ValueError(
            f"latent {tuple(latent.shape)}, timestep {tuple(timestep.shape)} and context "
            f"{tuple(conditioning.context.shape)} need the same number of rows, and latents four dimensions"
        )
