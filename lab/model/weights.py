"""The lab model on disk: a folder that diffusers reads, in half precision, with the record of its training."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from ..train.common import save_json, save_state
from .modules import (
    BETA_END,
    BETA_START,
    TRAIN_TIMESTEPS,
    LabModules,
    build_text_encoder,
    build_unet,
    load_tokenizer,
)
from .vae import SCALING_FACTOR, LabVAE

WEIGHTS = Path(__file__).parents[1] / "weights"
FILES = {
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "text_encoder": "text_encoder/model.safetensors",
    "vae": "vae/lab_vae.safetensors",
}


def load_lab_model(folder: Path = WEIGHTS) -> LabModules:
    """The trained model, float32, in evaluation mode.

    Raises:
        FileNotFoundError: naming the missing file and how to make it.
    """
    for part, name in FILES.items():
        if not (folder / name).exists():
            raise FileNotFoundError(
                f"the lab model's {part} is missing: {folder / name}. Restore the file from the repository, or train "
                f"one with `python -m concept_atelier lab train` and `lab publish`."
            )
    vae = LabVAE(**json.loads((folder / "vae/config.json").read_text(encoding="utf-8")))
    modules = LabModules(build_unet(), build_text_encoder(), load_tokenizer(), vae)
    for part, name in FILES.items():
        state = {key: value.float() for key, value in load_file(folder / name).items()}
        getattr(modules, part).load_state_dict(state)
    for part in (modules.unet, modules.text_encoder, modules.vae):
        part.eval().requires_grad_(False)
    return modules


def publish(runs: Path, folder: Path = WEIGHTS) -> None:
    """Gather the averages of the three training runs under ``runs`` into a model folder."""
    parts = {"unet": runs / "unet/unet.safetensors", "text_encoder": runs / "text/text_encoder.safetensors"}
    parts["vae"] = runs / "vae/vae.safetensors"
    for part, source in parts.items():
        if not source.exists():
            raise FileNotFoundError(f"no trained {part} at {source}; run `python -m concept_atelier lab train` first")
        save_state(folder / FILES[part], half(load_file(source)))
    build_unet().save_config(folder / "unet")
    build_text_encoder().config.save_pretrained(folder / "text_encoder")
    record = {name: json.loads((runs / name / "log.json").read_text()) for name in ("vae", "text", "unet")}
    save_json(folder / "vae/config.json", record["vae"]["settings"]["model"])
    save_json(folder / "scheduler/scheduler_config.json", scheduler_config())
    save_json(folder / "training.json", {name: thin(log) for name, log in record.items()})


def half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.half() if value.is_floating_point() else value for key, value in state.items()}


def scheduler_config() -> dict[str, Any]:
    """What diffusers' schedulers read."""
    return {
        "_class_name": "DDIMScheduler",
        "num_train_timesteps": TRAIN_TIMESTEPS,
        "beta_start": BETA_START,
        "beta_end": BETA_END,
        "beta_schedule": "scaled_linear",
        "prediction_type": "epsilon",
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
        "scaling_factor": SCALING_FACTOR,
    }


def thin(log: dict[str, Any], points: int = 60) -> dict[str, Any]:
    """A log with at most so many points of its curve; points that hold an evaluation are always kept."""
    curve = log["curve"]
    every = max(1, len(curve) // points)
    kept = [point for i, point in enumerate(curve) if i % every == 0 or "loss" not in point]
    return {**log, "curve": kept}
