"""What every trainer shares: resumable state on disk, an exponential moving average, a log, sample sheets."""

import json
import logging
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..core.files import load_tensors, save_tensors
from ..host.files.saving import atomic_write, save_json
from .optimisers import SideBySide

log = logging.getLogger("concept_atelier.lab")

State = dict[str, Tensor]


class Ema:
    """Exponential moving average of parameters; the decay warms up so that early averages are not stale."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.shadow = {key: value.detach().clone() for key, value in module.state_dict().items()}

    def take(self, shadow: State, steps: int) -> None:
        """Go on from an earlier average, wherever it was kept."""
        self.shadow = {key: value.to(self.shadow[key].device) for key, value in shadow.items()}
        self.steps = steps

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        current = module.state_dict()
        floating = [key for key, value in self.shadow.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.shadow[k] for k in floating], [current[k] for k in floating], 1 - decay)


def cosine_rate(progress: float) -> float:
    """Share of the learning rate: warm up over the first percent, then fall to zero along a half cosine."""
    return min(1.0, progress / 0.01 + 0.01) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


class Run:
    """One training run in a folder: ``state.safetensors`` (weights, average, optimiser), ``log.json``, pictures.

    Args:
        folder: where the run lives, best outside the work tree.
        modules: what is trained, by name.
        optimiser: an Adam-like optimiser over them.
        settings: recorded beside the weights.
        ema_decay: of the average, or of several.
        leads: False for the other processes of a team, which neither keep averages nor write.
    """

    def __init__(
        self,
        folder: Path,
        modules: dict[str, nn.Module],
        optimiser: torch.optim.Optimizer | SideBySide,
        settings: dict[str, Any],
        ema_decay: float | tuple[float, ...] = 0.999,
        leads: bool = True,
    ) -> None:
        self.folder, self.modules, self.optimiser, self.leads = folder, modules, optimiser, leads
        self.settings = settings
        self.samples, self.seconds = 0, 0.0
        self.curve: list[dict[str, float]] = []
        decays = ema_decay if isinstance(ema_decay, tuple) else (ema_decay,)
        self.averages = [{name: Ema(module, decay) for name, module in modules.items()} for decay in decays]
        self._started = time.monotonic()
        if (folder / "state.safetensors").exists():
            self._load()

    @property
    def emas(self) -> dict[str, Ema]:
        """The first average of every module."""
        return self.averages[0]

    @property
    def elapsed(self) -> float:
        """Seconds spent in the run, those before it was resumed included."""
        return self.seconds + time.monotonic() - self._started

    def progress(self, samples: int, minutes: float | None = None) -> float:
        """How much of a training of so many samples is behind, or of so much time, whichever is more."""
        by_time = self.elapsed / (60 * minutes) if minutes else 0.0
        return max(self.samples / samples, by_time)

    def average(self, name: str, number: int = 0) -> State:
        """One of the averages of a module, on the CPU."""
        return {key: value.cpu() for key, value in self.averages[number][name].shadow.items()}

    def advance(self, samples: int) -> None:
        """Count a step and move the averages."""
        self.samples += samples
        if self.leads:
            for average in self.averages:
                for name, ema in average.items():
                    ema.update(self.modules[name])

    def note(self, **figures: float) -> None:
        """Add a point to the curve and say it."""
        if not self.leads:
            return
        seconds = self.elapsed
        self.curve.append({"samples": self.samples, "seconds": round(seconds, 1), **figures})
        said = "  ".join(f"{key} {value:.4g}" for key, value in figures.items())
        log.info("%9d samples  %6.0f s  %s", self.samples, seconds, said)

    def save(self) -> None:
        """Write everything needed to go on."""
        if not self.leads:
            return
        state: State = {}
        for name, module in self.modules.items():
            state |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
            for number, average in enumerate(self.averages):
                state |= {f"{_ema(number)}.{name}.{key}": value for key, value in average[name].shadow.items()}
        for index, slots in self.optimiser.state_dict()["state"].items():
            state |= {f"optimiser.{index}.{key}": value for key, value in slots.items() if torch.is_tensor(value)}
        info = {
            "samples": self.samples,
            "seconds": self.elapsed,
            "ema_steps": {n: e.steps for n, e in self.emas.items()},
        }
        state = {key: value.detach().cpu().clone() for key, value in state.items()}
        save_tensors(self.folder / "state.safetensors", state, {"run": json.dumps(info)})
        save_json(self.folder / "log.json", {"settings": self.settings, **info, "curve": self.curve})

    def _load(self) -> None:
        path = self.folder / "state.safetensors"
        state, metadata = load_tensors(path)
        info = json.loads(metadata["run"])
        for name, module in self.modules.items():
            module.load_state_dict(_under(state, f"{name}."))
            for number, average in enumerate(self.averages):
                average[name].take(_under(state, f"{_ema(number)}.{name}."), info["ema_steps"][name])
        self._load_optimiser(state)
        self.samples, self.seconds = info["samples"], info["seconds"]
        self.curve = self._load_curve()
        log.info("resuming at %d samples from %s", self.samples, path)

    def _load_curve(self) -> list[dict[str, float]]:
        """Empty when a kill came between the first state and its log."""
        path = self.folder / "log.json"
        return json.loads(path.read_text(encoding="utf-8"))["curve"] if path.exists() else []

    def _load_optimiser(self, state: State) -> None:
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(state, "optimiser.").items():
            index, slot = key.split(".", 1)
            slots.setdefault(int(index), {})[slot] = value
        self.optimiser.load_state_dict({"state": slots, "param_groups": self.optimiser.state_dict()["param_groups"]})


def _ema(number: int) -> str:
    """Under what the state keeps one of the averages."""
    return f"ema{number}" if number else "ema"


def _under(state: State, prefix: str) -> State:
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def to_tensor(pictures: np.ndarray, device: str = "cpu") -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float in -1..1 on a device."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def save_sheet(path: Path, rows: Iterable[Tensor]) -> None:
    """A PNG of rows of pictures, each row (B, 3, H, W) in -1..1."""
    stacked = torch.cat([torch.cat(list(row), dim=-1) for row in rows], dim=-2)
    pixels = ((stacked.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
    with atomic_write(path) as temporary:
        Image.fromarray(pixels).save(temporary, "PNG")
