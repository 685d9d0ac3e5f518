"""Optimisers side by side, each with parameters of its own."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
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


class Muon(torch.optim.Muon):
    """torch's Muon with rates matched to AdamW's (Liu et al. 2025, arXiv 2502.16982), in float32 on a CPU.

    torch orthogonalises in bfloat16, one matrix after another. On a processor without bfloat16 products that took 5.2 s
    for each step of the lab transformer; in float32, with all matrices of one shape together, it takes 0.2 s.
    """

    def __init__(self, params: Any, lr: float, weight_decay: float = 0.1) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        on_cpu = all(value.device.type == "cpu" for group in self.param_groups for value in group["params"])
        if closure is not None or not on_cpu:
            return super().step(closure)
        for group in self.param_groups:
            for matrices in _by_shape(group["params"]):
                self._move(matrices, group)
        return None

    def _move(self, matrices: list[Tensor], group: dict[str, Any]) -> None:
        """One step of matrices of one shape (A, B)."""
        gradients = torch.stack([matrix.grad for matrix in matrices if matrix.grad is not None])  # (n, A, B)
        buffers = [self.state[matrix].setdefault("momentum_buffer", torch.zeros_like(matrix)) for matrix in matrices]
        torch._foreach_lerp_(buffers, list(gradients), 1 - group["momentum"])
        momenta = torch.stack(buffers)
        ahead = gradients.lerp(momenta, group["momentum"]) if group["nesterov"] else momenta
        moved = orthogonalise(ahead, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rate = 0.2 * group["lr"] * max(ahead.shape[-2:]) ** 0.5
        torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(matrices, list(moved), alpha=-rate)


def orthogonalise(matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Matrices (n, A, B) with their singular values brought near 1 by Newton-Schulz iterations."""
    a, b, c = coefficients
    tall = matrices.shape[-2] > matrices.shape[-1]
    wide = matrices.transpose(-1, -2) if tall else matrices
    wide = wide / wide.flatten(1).norm(dim=1)[:, None, None].clamp(min=eps)
    for _ in range(steps):
        gram = wide @ wide.transpose(-1, -2)  # (n, A, A)
        update = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        wide = torch.baddbmm(wide, update, wide, beta=a)
    return wide.transpose(-1, -2) if tall else wide


def _by_shape(parameters: list[Tensor]) -> Iterator[list[Tensor]]:
    """Matrices that have a gradient, in lists of one shape."""
    found: dict[torch.Size, list[Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            found.setdefault(parameter.shape, []).append(parameter)
    yield from found.values()


def muon_beside_adamw(modules: list[nn.Module], orthogonal: Callable[[str], bool], decay: float) -> SideBySide:
    """Muon (Jordan et al. 2024) for the matrices that ``orthogonal`` says yes to by name, AdamW for all other
    parameters that learn; every group's ``share`` of the rate is 1."""
    named = [entry for module in modules for entry in module.named_parameters() if entry[1].requires_grad]
    matrices = [value for name, value in named if value.ndim == 2 and orthogonal(name)]
    others = [value for name, value in named if not (value.ndim == 2 and orthogonal(name))]
    muon = Muon([{"params": matrices, "share": 1.0}], lr=1e-3, weight_decay=decay)
    return SideBySide(
        muon, torch.optim.AdamW([{"params": others, "share": 1.0}], lr=1e-3, weight_decay=decay, fused=True)
    )
