"""The lab model on disk: a folder that diffusers reads, in 16 bits, with the judge and the record of their training."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core.files import load_tensors, save_tensors
from ...host.files.saving import save_json
from .modules import (
    BETA_END,
    BETA_START,
    TRAIN_TIMESTEPS,
    LabModules,
    build_text_encoder,
    build_unet,
    load_tokenizer,
    quick_text_encoder,
    quick_unet,
)
from .transformer import TRANSFORMER_FILE, build_transformer
from .vae import SCALING_FACTOR, LabVAE

WEIGHTS = Path(__file__).parents[1] / "weights"
FILES = {
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "text_encoder": "text_encoder/model.safetensors",
    "vae": "vae/lab_vae.safetensors",
}


MANTISSA_BITS = {"unet": 4, "transformer": 4, "text_encoder": 6, "image_tower": 5, "judge": 5, "counter": 5}
"""Bits of the mantissa that ship, in bfloat16, of parts that are not kept in float16. Every version stays in the
repository for ever, where bits that are zero take no room: four of seven make the denoiser a quarter smaller once
packed. :func:`with_mantissa` bounds the error of each number."""

JUDGE_FILE, JUDGE_CONFIG = "judge/judge.safetensors", "judge/config.json"
COUNTER_FILE = "judge/counter.safetensors"

IMAGE_TOWER_FILE = "image_tower/model.safetensors"

RUN_PARTS = {
    "vae": "vae/vae.safetensors",
    "unet": "unet/unet.safetensors",
    "text_encoder": "unet/text_encoder.safetensors",
    "image_tower": "tower/image_tower.safetensors",
    "judge": "judge/judge.safetensors",
    "counter": "counter/counter.safetensors",
}
"""Part to the file that its training run ends with, the folder being the run's."""

RUNS = ("vae", "unet", "tower", "judge", "counter")
RUN_RECORDS = (*(f"{run}/log.json" for run in RUNS), "judge/config.json")
"""What else runs leave that ships."""

SHARD_LIMIT = 15 << 20
"""Bytes of the largest file of weights that :func:`pack` writes; some ways off a lent machine stop at 16 MiB."""


def load_lab_model(folder: Path = WEIGHTS) -> LabModules:
    """The trained model, float32, in evaluation mode, of modules that need neither diffusers nor transformers' models.

    Raises:
        FileNotFoundError: naming the missing file and how to make it.
    """
    check_files(folder)
    vae = LabVAE(**json.loads((folder / "vae/config.json").read_text(encoding="utf-8")))
    modules = LabModules(quick_unet(), quick_text_encoder(), load_tokenizer(), vae)
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
    trained = {part: rounded(load_run(runs, place), MANTISSA_BITS.get(part)) for part, place in RUN_PARTS.items()}
    for record in RUN_RECORDS:
        _check_run(runs / record, runs, record.split("/")[0])
    targets = {**FILES, "image_tower": IMAGE_TOWER_FILE, "judge": JUDGE_FILE, "counter": COUNTER_FILE}
    for part, state in trained.items():
        save_tensors(folder / targets[part], state)
    save_json(folder / JUDGE_CONFIG, json.loads((runs / "judge/config.json").read_text(encoding="utf-8")))
    build_unet().save_config(folder / "unet")
    build_text_encoder().config.save_pretrained(folder / "text_encoder")
    records = {run: record_of(runs / run) for run in RUNS}
    save_json(folder / "vae/config.json", records["vae"]["settings"]["model"])
    save_json(folder / "scheduler/scheduler_config.json", scheduler_config())
    save_json(folder / "training.json", {name: thin(log) for name, log in records.items()})


def publish_transformer(runs: Path, folder: Path = WEIGHTS) -> None:
    """Put the first average of the transformer's run under ``runs`` into a model folder, beside what it was trained
    with, and its record into the folder's.

    Raises:
        FileNotFoundError: before anything is written, naming the run's missing file and the command that makes it.
    """
    run = runs / "transformer"
    state = rounded(load_run(runs, "transformer/transformer.safetensors"), MANTISSA_BITS["transformer"])
    _check_run(run / "log.json", runs, "transformer")
    save_tensors(folder / TRANSFORMER_FILE, state)
    build_transformer().save_config(folder / "transformer")
    save_json(folder / "training.json", {**load_record(folder), "transformer": thin(record_of(run))})


def publish_counter(runs: Path, folder: Path = WEIGHTS) -> None:
    """Put the average of the counter's run under ``runs`` into a model folder, beside the judge that it was trained
    with, and its record into the folder's.

    Raises:
        FileNotFoundError: before anything is written, naming the run's missing file and the command that makes it.
    """
    state = rounded(load_run(runs, RUN_PARTS["counter"]), MANTISSA_BITS["counter"])
    _check_run(runs / "counter/log.json", runs, "counter")
    save_tensors(folder / COUNTER_FILE, state)
    save_json(folder / "training.json", {**load_record(folder), "counter": thin(record_of(runs / "counter"))})


def load_run(runs: Path, place: str) -> dict[str, Tensor]:
    """What a training run ended with, from its file or from the shards of :func:`pack`.

    Raises:
        FileNotFoundError: naming the missing file and the command that makes it.
    """
    path = runs / place
    shards = sorted(path.parent.glob(f"{path.stem}-*-of-*.safetensors"))
    if path.exists() or not shards:
        _check_run(path, runs, place.split("/")[0])
        return load_tensors(path)[0]
    total = int(shards[0].stem.rsplit("-", 1)[1])
    for number in range(1, total + 1):
        _check_run(path.parent / shard_name(path, number, total), runs, place.split("/")[0])
    return {key: value for shard in shards for key, value in load_tensors(shard)[0].items()}


def pack(runs: Path, folder: Path, limit: int = SHARD_LIMIT) -> None:
    """The ends of the training runs as a folder of small files, in 16 bits, which :func:`publish` reads as well.

    Raises:
        FileNotFoundError: naming a run's missing file and the command that makes it.
    """
    for part, place in RUN_PARTS.items():
        state = rounded(load_run(runs, place), MANTISSA_BITS.get(part))
        shards = split(state, limit)
        for number, shard in enumerate(shards, 1):
            save_tensors((folder / place).with_name(shard_name(Path(place), number, len(shards))), shard)
    for record in RUN_RECORDS:
        save_json(folder / record, json.loads((runs / record).read_text(encoding="utf-8")))


def shard_name(path: Path, number: int, total: int) -> str:
    """``unet-00001-of-00002.safetensors``."""
    return f"{path.stem}-{number:05d}-of-{total:05d}.safetensors"


def split(state: dict[str, Tensor], limit: int) -> list[dict[str, Tensor]]:
    """Tensors in groups of at most so many bytes, in their order; one that is larger alone has a group of its own."""
    groups: list[dict[str, Tensor]] = [{}]
    size = 0
    for key, value in state.items():
        if groups[-1] and size + value.nbytes > limit:
            groups.append({})
            size = 0
        groups[-1][key] = value
        size += value.nbytes
    return groups


def _check_run(path: Path, runs: Path, run: str) -> None:
    if not path.exists():
        raise FileNotFoundError(
            f"the {run} is not trained: {path} is missing; run "
            f"`python -m concept_atelier lab train {run} --runs {runs}` first"
        )


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
