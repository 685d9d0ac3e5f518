"""Optimisers side by side, each with parameters of its own."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


class SideBySide:
    """Several optimisers that are stepped, saved and loaded as one; states are numbered one optimiser after another."""

    def __init__(self, *parts: Optimizer) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """All groups, which may be written to."""
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad()

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        state: dict[int, Any] = {}
        for first, part in self._numbered():
            state |= {first + index: slots for index, slots in part.state_dict()["state"].items()}
        return {"state": state, "param_groups": [g for part in self.parts for g in part.state_dict()["param_groups"]]}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        for first, part in self._numbered():
            held = range(first, first + _parameters(part))
            slots = {index - first: value for index, value in saved["state"].items() if index in held}
            part.load_state_dict({"state": slots, "param_groups": part.state_dict()["param_groups"]})

    def _numbered(self) -> list[tuple[int, Optimizer]]:
        found, first = [], 0
        for part in self.parts:
            found.append((first, part))
            first += _parameters(part)
        return found


def _parameters(part: Optimizer) -> int:
    return sum(len(group["params"]) for group in part.param_groups)


def muon_beside_adamw(modules: list[nn.Module], orthogonal: Callable[[str], bool], decay: float) -> SideBySide:
    """Muon (Jordan et al. 2024; rates matched to AdamW's as in Liu et al. 2025, arXiv 2502.16982) for the matrices
    that ``orthogonal`` says yes to by name, AdamW for all other parameters that learn; every group's ``share`` of the
    rate is 1."""
    named = [entry for module in modules for entry in module.named_parameters() if entry[1].requires_grad]
    matrices = [value for name, value in named if value.ndim == 2 and orthogonal(name)]
    others = [value for name, value in named if not (value.ndim == 2 and orthogonal(name))]
    muon = torch.optim.Muon(
        [{"params": matrices, "share": 1.0}], lr=1e-3, weight_decay=decay, adjust_lr_fn="match_rms_adamw"
    )
    return SideBySide(
        muon, torch.optim.AdamW([{"params": others, "share": 1.0}], lr=1e-3, weight_decay=decay, fused=True)
    )
