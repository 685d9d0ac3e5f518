"""What erasing one concept takes by every method, those that train as well."""

from typing import Any

import torch

from ...core.erase.registry import METHODS
from ...host.adapters import at_work, backbone_of
from .ground import Ground, Shape
from .meters import Time, resident_growth, timed
from .settings import CostSettings

CONCEPT, PRESERVED, LAB = "cat", ("dog", "horse", "rabbit", "car"), "lab"


def methods_cost(ground: Ground, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """One object by every method, by its preset, from texts to a finished erasure: seconds by the clock and of
    processor time, and by how many MB the process grew. Each runs once; what a method draws or trains is included.
    Methods that train are measured on the lab model alone: on others they would take hours here."""
    found = {}
    for name, method in METHODS.items():
        if method.trains and shape.name != LAB:
            continue
        spent: list[Time] = []
        chosen = method.preset(shape.erase)

        def erase(method: Any = method, chosen: Any = chosen, spent: list[Time] = spent) -> None:
            with torch.inference_mode(False), at_work(backbone_of(ground.model, ground.clip, ground.vae)) as backbone:
                spent.append(timed(lambda: method.erase(backbone, [CONCEPT], "", list(PRESERVED), chosen)))

        grown = resident_growth(erase)
        times = {"seconds": round(spent[0].wall, 2), "cpu_s": round(spent[0].cpu, 2)}
        found[name] = times | {"resident_mb": grown, "trains": method.trains}
    return {"preset": shape.erase, "preserved": len(PRESERVED), "repetitions": 1, "methods": found}
