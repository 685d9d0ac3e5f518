"""What starting costs: headless to the first pass of the lab model, in ComfyUI the loading of the pack.

Every run is a new process, which says itself how much processor time it took.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .ground import Ground, Shape
from .meters import Time, ratios
from .settings import CostSettings

PACK = Path(__file__).parents[2]
PACKAGE = __name__.removesuffix(".bench.cost.start")

PIPELINES = "from diffusers import StableDiffusionPipeline"
"""What loading a model by diffusers' own pipelines imports."""

FIRST_PASS = f"""
import torch
from {PACKAGE}.bench.command import load_parts
from {PACKAGE}.host.adapters import backbone_of
with torch.inference_mode():
    backbone = backbone_of(*load_parts(None, False))
    backbone.predict_noise(torch.zeros(1, 4, 16, 16), torch.tensor([500]), backbone.encode_text(["a cat"]))
"""

COMFYUI = f"""
import os
from pathlib import Path
from {PACKAGE}.bench.cost.native import enter_comfyui
enter_comfyui(Path(os.environ["COMFYUI_PATH"]).expanduser().resolve())
import utils.extra_config, nodes, server
"""

LOADING = f"""
import asyncio
if not asyncio.run(nodes.load_custom_node({str(PACK)!r})):
    raise SystemExit("ComfyUI did not load the pack")
"""


def start_cost(ground: Ground, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """Headless: from the start of Python to the first pass of the lab model, with the pipelines of diffusers imported
    first (``plain``) and as it is. In ComfyUI: its modules (``plain``), and those with the pack."""
    headless = ground.host == "headless"
    plain, ours = (PIPELINES + FIRST_PASS, FIRST_PASS) if headless else (COMFYUI, COMFYUI + LOADING)
    spent: tuple[list[Time], list[Time]] = ([], [])
    processor_time(ours)  # files are in the system's memory now
    for number in range(settings.repetitions):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            spent[which].append(processor_time((plain, ours)[which]))
    least = [min(one.cpu for one in times) for times in spent]
    return ratios(*spent) | {"plain_cpu_s": round(least[0], 2), "ours_cpu_s": round(least[1], 2)}


def processor_time(code: str) -> Time:
    """Of a new Python that runs some code with one thread. Raises ``RuntimeError`` where it fails."""
    began = time.perf_counter()
    timed = code + "\nimport time\nprint('took', time.process_time())"
    done = subprocess.run(
        [sys.executable, "-c", timed],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"a new process failed: {done.stderr.strip()[-500:]}")
    said = [line for line in done.stdout.splitlines() if line.startswith("took ")][-1]
    return Time(time.perf_counter() - began, float(said.split()[1]))
