"""The lab model on disk: a folder that diffusers reads, in 16 bits, with the judge and the record of their training."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core.files import load_tensors, save_tensors
from ...host.saving import save_json
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


MANTISSA_BITS = {"unet": 4, "text_encoder": 6, "image_tower": 5, "judge": 5}
"""Bits of the mantissa that ship, in bfloat16, of parts that are not kept in float16. Every version stays in the
repository for ever, where bits that are zero take no room: four of seven make the denoiser a quarter smaller once
packed. :func:`with_mantissa` bounds the error of each number."""

JUDGE_FILE, JUDGE_CONFIG = "judge/judge.safetensors", "judge/config.json"

IMAGE_TOWER_FILE = "image_tower/model.safetensors"

RUN_FILES = {
    "vae": "vae.safetensors",
    "text": "text_encoder.safetensors",
    "unet": "unet.safetensors",
    "judge": "judge.safetensors",
}
"""Training run to the file it ends with."""

BESIDE = {"judge": ("config.json",), "text": ("image_tower.safetensors",)}
"""What else a run leaves that ships."""


def load_lab_model(folder: Path = WEIGHTS) -> LabModules:
    """The trained model, float32, in evaluation mode.

    Raises:
        FileNotFoundError: naming the missing file and how to make it.
    """
    check_files(folder)
    vae = LabVAE(**json.loads((folder / "vae/config.json").read_text(encoding="utf-8")))
    modules = LabModules(build_unet(), build_text_encoder(), load_tokenizer(), vae)
    for part in FILES:
        getattr(modules, part).load_state_dict(load_part(folder, part))
    modules.unet.eval().requires_grad_(False)
    modules.text_encoder.eval().requires_grad_(False)
    modules.vae.eval().requires_grad_(False)
    return modules


def check_files(folder: Path) -> None:
    """Raise ``FileNotFoundError`` for a model folder that lacks a part, naming the file and how to make it."""
    for part, name in FILES.items():
        if not (folder / name).exists():
            raise FileNotFoundError(
                f"the lab model's {part} is missing: {folder / name}. Restore the file from the repository, or train "
                f"one with `python -m concept_atelier lab train` and `lab publish`."
            )


def load_part(folder: Path, part: str) -> dict[str, Tensor]:
    """The float32 state of ``unet``, ``text_encoder`` or ``vae`` of a model folder."""
    return {key: value.float() for key, value in load_tensors(folder / FILES[part])[0].items()}


def load_record(folder: Path) -> dict[str, Any]:
    """How the parts of a model folder were trained, by run."""
    return json.loads((folder / "training.json").read_text(encoding="utf-8"))


def publish(runs: Path, folder: Path = WEIGHTS) -> None:
    """Gather the averages of the training runs under ``runs`` into a model folder, with the record of each.

    What the settings do not tell (a recipe changed half-way) is taken from ``remarks.txt`` in the run's folder.

    Raises:
        FileNotFoundError: before anything is written, naming a run's missing file and the command that makes it.
    """
    for run, needed in RUN_FILES.items():
        for source in (
            runs / run / needed,
            runs / run / "log.json",
            *(runs / run / name for name in BESIDE.get(run, ())),
        ):
            if not source.exists():
                raise FileNotFoundError(
                    f"the {run} is not trained: {source} is missing; run "
                    f"`python -m concept_atelier lab train {run} --runs {runs}` first"
                )
    targets = {**FILES, "image_tower": IMAGE_TOWER_FILE, "judge": JUDGE_FILE}
    sources = {"unet": "unet", "text_encoder": "text", "vae": "vae", "judge": "judge"}
    trained = {part: runs / run / RUN_FILES[run] for part, run in sources.items()}
    trained["image_tower"] = runs / "text" / BESIDE["text"][0]
    for part, source in trained.items():
        save_tensors(folder / targets[part], rounded(load_tensors(source)[0], MANTISSA_BITS.get(part)))
    save_json(folder / JUDGE_CONFIG, json.loads((runs / "judge/config.json").read_text(encoding="utf-8")))
    build_unet().save_config(folder / "unet")
    build_text_encoder().config.save_pretrained(folder / "text_encoder")
    record = {run: record_of(runs / run) for run in RUN_FILES}
    save_json(folder / "vae/config.json", record["vae"]["settings"]["model"])
    save_json(folder / "scheduler/scheduler_config.json", scheduler_config())
    save_json(folder / "training.json", {name: thin(log) for name, log in record.items()})


def record_of(run: Path) -> dict[str, Any]:
    """The log of a run, with the remarks that lie beside it."""
    log = json.loads((run / "log.json").read_text(encoding="utf-8"))
    remarks = run / "remarks.txt"
    return {**log, "remarks": remarks.read_text(encoding="utf-8").strip()} if remarks.exists() else log


def rounded(state: dict[str, Tensor], bits: int | None = None) -> dict[str, Tensor]:
    """Tensors in 16 bits, those of whole numbers as they are: float16, or bfloat16 with so many bits of mantissa."""

    def short(value: Tensor) -> Tensor:
        return value.half() if bits is None else with_mantissa(value, bits).bfloat16()

    return {key: short(value) if value.is_floating_point() else value for key, value in state.items()}


def with_mantissa(value: Tensor, bits: int) -> Tensor:
    """Numbers rounded to the nearest with so many bits of mantissa behind the first; an error of at most 2^-(bits+1)
    of each."""
    mantissa, exponent = torch.frexp(value)
    return torch.ldexp((mantissa * 2 ** (bits + 1)).round() / 2 ** (bits + 1), exponent)


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
