"""Safetensors files: read whole or refused, written whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..messages import listed, plain
from .writing import atomic_write

_READABLE = frozenset(
    ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "bool", "uint8")
    + ("int8", "int16", "int32", "int64")
)
PICKLED = (".pt", ".bin", ".ckpt", ".pth", ".pkl")


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file beside ``path`` and move it there once it is whole.

    On any exception, a full disk or an interrupt included, an older file at ``path`` stays as it was and nothing else
    is left. Raises ``ValueError`` for another ending than ``.safetensors``, ``OSError`` where writing fails.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"only .safetensors files are written, got {path.name}")
    with atomic_write(path) as temporary:
        write_tensors(temporary, tensors, metadata)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file as it is, for those who see to its name (:func:`.writing.write_named`).

    Not by ``save_file``, whose files only their owner can read.
    """
    whole: dict[str, Tensor] = {}
    held: set[int] = set()
    for key, tensor in tensors.items():
        one = tensor.detach().cpu().contiguous()
        place = one.untyped_storage().data_ptr()
        whole[key] = one.clone() if place in held else one  # files of this format share no memory between tensors
        held.add(place)
    texts = {key: text.encode("utf-8", "replace").decode() for key, text in (metadata or {}).items()}
    path.write_bytes(save(whole, metadata=texts or None))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; pickled, damaged and empty files are refused with ``ValueError``."""
    path = Path(path)
    named = plain(str(path), 300)
    if path.suffix.lower() in PICKLED:
        raise ValueError(
            f"{plain(path.name)} is a pickled file, which can run code when it is read; convert it to .safetensors"
        )
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {named}")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except SafetensorError as error:
        why = plain(str(error), 200)
        raise ValueError(f"{named} is cut short or no safetensors file ({why}): save or download it again") from error
    strange = sorted({str(t.dtype).removeprefix("torch.") for t in tensors.values()} - _READABLE)
    if strange:
        raise ValueError(f"{named} holds numbers of the type {listed(strange)}, which are not read; save it as float16")
    if not tensors:
        raise ValueError(f"{named} holds no tensors, so there is nothing to apply: save or download it again")
    return tensors, metadata


def check_finite(tensors: Mapping[str, Tensor], what: str) -> None:
    broken = next((key for key, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())), None)
    if broken is not None:
        raise ValueError(f"{what} is not finite (NaN or infinite, in {plain(broken)}); make it anew")
