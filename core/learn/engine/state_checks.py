"""Whether a saved state is one that its training could have left."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...messages import listed, plain
from .checkpoints import State


def check_like(state: State, expected: State, free: Sequence[str] = ()) -> None:
    """Raise ``ValueError`` unless a state has the names, shapes and types that are expected, and finite numbers.

    Args:
        free: names that must be there, in the expected type, with any length.
    """
    _check_names(state, expected)
    for name, wanted in expected.items():
        given = state[name]
        shape = given.shape if name not in free else wanted.shape
        if given.dtype != wanted.dtype or shape != wanted.shape or (name in free and given.ndim != 1):
            raise ValueError(f"{plain(name)} is {_kind(given)}, expected {_kind(wanted)}")
        if given.is_floating_point() and not bool(torch.isfinite(given).all()):
            raise ValueError(f"{plain(name)} is not finite (NaN or infinite)")


def whole_number(state: State, name: str, below: int | None = None) -> int:
    """A count in a state, at least 0 and below ``below``. Raises ``ValueError`` for anything else."""
    given = state.get(name)
    if given is None:
        raise ValueError(f"it lacks {name}")
    if given.ndim != 0 or given.is_floating_point() or given.is_complex():
        raise ValueError(f"{name} is {_kind(given)}, expected one whole number")
    count = int(given)
    if count < 0 or (below is not None and count >= below):
        raise ValueError(f"{name} is {count}, expected at least 0" + (f" and below {below}" if below else ""))
    return count


def check_counts(losses: Tensor, lengths: Tensor, finished: Sequence[int], current: Tensor, steps: int) -> None:
    """Raise ``ValueError`` unless the numbers of losses are those of phases.

    Args:
        losses: of all finished phases; ``lengths`` says how many are of which.
        finished: how many each finished phase may have.
        current: losses of the phase that was at work, which may have ``steps``.
    """
    counts = lengths.tolist()
    if len(counts) != len(finished) or any(not 0 < n <= most for n, most in zip(counts, finished, strict=True)):
        raise ValueError(f"it counts {listed(counts)} updates in finished phases, expected up to {listed(finished)}")
    if sum(counts) != len(losses):
        raise ValueError(f"it has {len(losses)} losses of finished phases, expected {sum(counts)}")
    if len(current) > steps:
        raise ValueError(f"it has made {len(current)} updates of a phase of {steps}")


def check_moments(moments: Mapping[str, Tensor], made: int) -> None:
    """Raise ``ValueError`` unless an optimiser's numbers are those after ``made`` updates."""
    for name, given in moments.items():
        if name.endswith(".step") and float(given) != made:
            raise ValueError(f"{name} is {float(given):g}, expected {made}")
        if name.endswith(".exp_avg_sq") and bool((given < 0).any()):
            raise ValueError(f"{name} holds negative squares")


def check_generator(state: Tensor) -> None:
    """Raise ``ValueError`` unless a random source takes a state."""
    try:
        torch.Generator().set_state(state)
    except RuntimeError as error:
        raise ValueError(f"its random source is of no use ({plain(str(error), 200)})") from error


def _check_names(state: State, expected: State) -> None:
    lacking, strange = sorted(set(expected) - set(state)), sorted(set(state) - set(expected))
    if lacking:
        raise ValueError(f"it lacks {listed(lacking, 5)}")
    if strange:
        raise ValueError(f"it holds {listed(strange, 5)}, which this training does not keep")


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
