"""Erasures in files: which model they were made on, and reading them again.

A file is an ordinary LoRA file (:func:`...files.lora_tensors`); what else there is to say stands in its metadata, with
a fingerprint of the model that the erasure was made on. It has one number for each text projection,

    r = sum_i s_i w_i / ||w|| ,

over values w spread evenly over the projection, with fixed random signs s. Numbers of one model agree whatever it was
loaded as (float16 moves them by some 1e-4); those of another model, and of one that was trained further, do not.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...backbone import KeyValueWeight
from ...files import kohya_key, load_tensors
from ...messages import listed, plain
from ...types import Change, Erasure
from ...weight_changes import low_rank, whole

VALUES = 4096
"""Of each projection, for the fingerprint."""
TOLERANCE = 0.02
"""By how much two numbers of one model may differ; of two models they differ by about 1."""


def fingerprint(weights: Sequence[KeyValueWeight]) -> str:
    """A JSON list with a number for each projection, by name."""
    return json.dumps([round(_number(one.weight), 4) for one in sorted(weights, key=lambda one: one.name)])


def load_erasure(path: Path, weights: Sequence[KeyValueWeight], family: str, strength: float = 1.0) -> Erasure:
    """Read an erasure for a model.

    Args:
        path: a file that Save Erasure as LoRA wrote.
        weights: the model's text projections, as in force.
        family: the model's.
        strength: multiplies the one that the file was saved with.

    Raises ``FileNotFoundError``, and ``ValueError`` for a file that holds no erasure, is damaged, or was made on
    another model.
    """
    tensors, metadata = load_tensors(path)
    named = plain(path.name)
    if metadata.get("format") != "concept-atelier erasure":
        raise ValueError(f"{named} holds no erasure of this pack; load it with a LoRA loader")
    keys = {kohya_key(one.name): one for one in weights}
    strange = sorted({key.split(".")[0] for key in tensors} - set(keys))
    if strange or not same_base(metadata.get("base", ""), weights):
        trait = f"it changes {listed(strange, 2)}, which this model does not have" if strange else "its weights differ"
        raise ValueError(
            f"{named} was made on another model ({trait}); load the model that the erasure was made on, or make it anew"
        )
    saved = float(metadata.get("strength", "1"))
    factors: dict[str, Change] = {}
    for key, weight in keys.items():
        if change := _change(tensors, key, 1 / saved if saved else 1.0):
            if change.shape != tuple(weight.weight.shape):
                raise ValueError(f"{named} is damaged: its change of {weight.name} is of the size {change.shape}")
            factors[weight.name] = change
    return Erasure(factors, saved * strength, family, metadata)


def same_base(saved: str, weights: Sequence[KeyValueWeight]) -> bool:
    """Whether a fingerprint is that of these weights; files from before fingerprints were written have an empty one,
    which is taken for any model's."""
    if not saved:
        return True
    found, wanted = json.loads(fingerprint(weights)), json.loads(saved)
    return len(found) == len(wanted) and all(abs(a - b) <= TOLERANCE for a, b in zip(found, wanted, strict=True))


def _number(weight: Tensor) -> float:
    flat = weight.detach().flatten()
    values = flat[torch.linspace(0, len(flat) - 1, min(VALUES, len(flat))).long().to(flat.device)].double().cpu()
    signs = torch.randint(0, 2, values.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return float((values * signs).sum() / values.norm().clamp(min=1e-12))


def _change(tensors: Mapping[str, Tensor], key: str, scale: float) -> Change | None:
    if f"{key}.diff" in tensors:
        return whole(tensors[f"{key}.diff"].float() * scale)
    if f"{key}.lora_up.weight" not in tensors:
        return None
    up, down = (tensors[f"{key}.lora_{part}.weight"] for part in ("up", "down"))
    alpha = tensors.get(f"{key}.alpha", torch.tensor(float(len(down))))
    return low_rank(up, down, scale * float(alpha) / len(down))
