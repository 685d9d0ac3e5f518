"""The greatest of very many numbers, found without holding them all at once.

Scores of zero or more in float32 keep their order when their bits are read as whole numbers. A histogram over the upper
17 bits (65 536 bins, each 0.4 % wide) finds the bin in which the cut lies, a second one over the lower 15 bits finds
the cut itself. Of scores that equal the cut, those that come first are taken, so that the count is exact and the choice
always the same.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

LOWER = 15
BINS = 2**16


@dataclass
class Cut:
    """Which scores are above the cut; asked for one tensor of scores after the other, in the order of the counting.

    Attributes:
        bits: of the least score that is taken.
        ties: how many scores that equal it are still taken.
    """

    bits: int
    ties: int

    @property
    def threshold(self) -> float:
        """The least score that is taken."""
        return float(torch.tensor(self.bits, dtype=torch.int32).view(torch.float32))

    def choose(self, scores: Tensor) -> Tensor:
        """(n,) bool of scores (n,) that are taken."""
        bits = bits_of(scores)
        chosen = bits > self.bits
        equal = (bits == self.bits).nonzero()[: self.ties, 0]
        self.ties -= len(equal)
        chosen[equal] = True
        return chosen


def bits_of(scores: Tensor) -> Tensor:
    """(n,) int32 in the order of scores (n,) float32 of zero or more."""
    return scores.contiguous().view(torch.int32)


def cut_of(parts: Callable[[], Iterable[Tensor]], keep: int) -> Cut:
    """Where to cut so that ``keep`` scores are taken, fewer only if fewer are above zero.

    Args:
        parts: gives the scores, tensors (n,) float32 of zero or more; called twice, the same each time.
        keep: how many, at least 0.
    """
    counts = _histogram(parts)
    if keep < 1:
        return Cut(2**31 - 1, 0)  # none
    if int(counts.sum()) <= keep:
        return Cut(0, 0)  # all that are above zero
    upper, above = _bin_of(counts, keep)
    lower, more = _bin_of(_histogram(parts, upper), keep - above)
    return Cut((upper << LOWER) + lower, keep - above - more)


def _histogram(parts: Callable[[], Iterable[Tensor]], of: int | None = None) -> Tensor:
    """Counts of the upper bits of positive scores, or of the lower bits of those whose upper bits are ``of``."""
    counts = torch.zeros(BINS, dtype=torch.long)
    for scores in parts():
        bits = bits_of(scores[scores > 0])
        bits = bits >> LOWER if of is None else bits[bits >> LOWER == of] & (2**LOWER - 1)
        counts += torch.bincount(bits, minlength=BINS).cpu()
    return counts


def _bin_of(counts: Tensor, keep: int) -> tuple[int, int]:
    """The bin in which the ``keep``-th greatest lies, and how many are above that bin."""
    falling = counts.flip(0)
    reached = falling.cumsum(0)
    place = int((reached >= keep).nonzero()[0])
    return len(counts) - 1 - place, int(reached[place] - falling[place])
