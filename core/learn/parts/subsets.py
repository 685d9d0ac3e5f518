"""Which of the concepts a training sentence names."""

from typing import Literal

import torch

from ...messages import shown

SubsetBy = Literal["subset", "size"]


def union_subset(count: int, generator: torch.Generator) -> tuple[int, ...]:
    """Union sampling (Break-A-Scene, arXiv 2305.16311, section 3.2): a size uniform over 1..N, then so many of N
    concepts without repetition, in random order."""
    size = int(torch.randint(1, count + 1, (1,), generator=generator))
    return tuple(torch.randperm(count, generator=generator)[:size].tolist())


def any_subset(count: int, generator: torch.Generator, by: SubsetBy = "subset") -> tuple[int, ...]:
    """A non-empty subset of 0..N-1, in order: each of the 2^N - 1 alike (AttenCraft's thirds for two concepts), or
    ``size``: first a size, each alike, then one of that size.

    Raises ``ValueError`` for another ``by``.
    """
    if by == "size":
        return tuple(sorted(union_subset(count, generator)))
    if by != "subset":
        raise ValueError(f"subsets are drawn by subset or size, got {shown(by)}")
    chosen = int(torch.randint(1, 2**count, (1,), generator=generator))
    return tuple(index for index in range(count) if chosen >> index & 1)
