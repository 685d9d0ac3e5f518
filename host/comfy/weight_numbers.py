"""Numbers that identify all weights of a MODEL with the patches on them, without computing any patched weight.

Putting a LoRA on every weight of SDXL takes many seconds; reading some thousand values of each weight and of each
tensor of its patches takes one.
"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from ...core.fingerprints import number_of
from .names import PREFIX


def weight_numbers(patcher: Any) -> dict[str, float]:
    """A number for each weight of the denoiser as it was loaded, and for all that its patches hold."""
    found: dict[str, float] = {}
    for key, held in patcher.model.state_dict().items():
        if not key.startswith(PREFIX) or not isinstance(held, Tensor):
            continue
        found[key] = number_of(_stored(patcher, key, held))
        numbers = _numbers_in(patcher.patches.get(key, ()))
        found.update((f"{key} {turn}", number) for turn, number in enumerate(numbers))
    return found


def _stored(patcher: Any, key: str, held: Tensor) -> Tensor:
    """A weight as it was loaded, also while patches are in force on it; of quantised ones the packed values, as a state
    dict holds them."""
    if key in patcher.hook_backup:
        held = patcher.hook_backup[key][0]
    elif key in patcher.backup:
        held = patcher.backup[key].weight
    return getattr(held, "_qdata", held)


def _numbers_in(part: Any) -> Iterator[float]:
    """The numbers of patches: their strengths, and one of each tensor in them."""
    if isinstance(part, Tensor):
        yield number_of(part)
    elif isinstance(part, (int, float)):
        yield float(part)
    elif isinstance(part, (list, tuple)):
        for one in part:
            yield from _numbers_in(one)
    elif hasattr(part, "weights"):  # LoRA and its relatives, and our own sparse patches
        yield from _numbers_in(part.weights)
