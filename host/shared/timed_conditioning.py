"""CONDITIONINGs that hold in a part of denoising, as ComfyUI's ConditioningSetTimestepRange writes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...core.backbone import Conditioning
from ...core.messages import listed
from .conditioning import from_comfy

START, END = "start_percent", "end_percent"


@dataclass(frozen=True, eq=False)
class Timed:
    """A conditioning from one share of denoising to another; 0 is the first step, 1 the last."""

    conditioning: Conditioning
    start: float = 0.0
    end: float = 1.0


def timed_of(entries: Sequence[Sequence[Any]], name: str) -> tuple[Timed, ...]:
    """The entries of a CONDITIONING.

    Raises ``ValueError`` as :func:`~.conditioning.from_comfy` does; several entries are read where all have a range.
    """
    ranged = [START in extras or END in extras for _, extras in entries]
    if not any(ranged):
        return (Timed(from_comfy(entries, name)),)
    if not all(ranged):
        raise ValueError(f"{name} has entries with and without a range of steps; give every one a range, or none")
    found = []
    for context, extras in entries:
        rest = {key: value for key, value in extras.items() if key not in (START, END)}
        start, end = float(extras.get(START) or 0.0), float(extras.get(END, 1.0))
        found.append(Timed(from_comfy([[context, rest]], name), start, end))
    _check_covered(found, name)
    return tuple(found)


def _check_covered(found: Sequence[Timed], name: str) -> None:
    """Raise ``ValueError`` where no entry holds: there is nothing to sample with."""
    reached = 0.0
    for one in sorted(found, key=lambda one: one.start):
        if one.start > reached:
            break
        reached = max(reached, one.end)
    if reached < 1:
        spans = listed(f"{one.start:g} to {one.end:g}" for one in found)
        raise ValueError(f"{name} holds from {spans}, and nothing from {reached:g} on; let it cover 0 to 1")
