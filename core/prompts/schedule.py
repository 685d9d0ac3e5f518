"""Which sentences of a prompt hold in which part of denoising."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """A part of denoising, 0 is the first step and 1 the last, and the sentences that hold in it, by number."""

    start: float
    end: float
    sentences: tuple[int, ...]


def joining(count: int) -> list[tuple[float, float]]:
    """The first sentence holds all along, and each later one joins: sentence k of n from ``k / 2n``. Layout is set
    early and details late, so what is said last is a detail."""
    return [(number / (2 * count), 1.0) for number in range(count)]


def spans_of(ranges: Sequence[tuple[float, float]]) -> list[Span]:
    """Parts without overlaps that cover all of denoising, from the range of each sentence.

    Raises ``ValueError`` for a range that is no part of 0..1, and a part in which no sentence holds.
    """
    for number, (start, end) in enumerate(ranges, 1):
        if not 0 <= start < end <= 1:
            raise ValueError(f"sentence {number} has the range {start:g} to {end:g}; it must be a part of 0 to 1")
    cuts = sorted({0.0, 1.0, *(cut for given in ranges for cut in given)})
    spans: list[Span] = []
    for start, end in zip(cuts, cuts[1:], strict=False):
        held = tuple(number for number, (first, last) in enumerate(ranges) if first <= start and end <= last)
        if not held:
            raise ValueError(f"no sentence holds from {start:g} to {end:g} of denoising; widen the range of one")
        if spans and spans[-1].sentences == held:
            spans[-1] = Span(spans[-1].start, end, held)
        else:
            spans.append(Span(start, end, held))
    return spans
