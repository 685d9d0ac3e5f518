"""Phrases of a prompt, found by the encoder that reads it.

Inspired by ConceptMoE (arXiv 2601.21420), whose chunker merges consecutive tokens that are like one another, with
``p_n = (1 - cos(W_q h_n, W_k h_{n-1})) / 2``, ``p_1 = 1``, and a boundary where ``p_n >= 1/2``. Its chunker is trained
with its model, and there are no weights of it. What transfers is the rule, on the rows h of the user's own text
encoder and with W the identity. Two things are ours. An encoder that reads from left to right changes its row at the
word that carries meaning and not at the article before it, so a phrase may begin only at a function word or behind a
mark of punctuation, and its p is the greatest of its words. Encoders differ in how far their rows stand apart, so the
one half is a share of the greatest p in the prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

_FUNCTION_WORDS = """
a an the another some this that his her its their my your our and or but of with without in on at by to from for under
over above below behind beside between near against inside outside around through into onto across along while as like
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""English words that begin a phrase and belong to what follows."""

CLOSING = frozenset(".,;:!?|/\u2013\u2014)]}")
"""Marks behind which a new phrase begins."""


@dataclass(frozen=True)
class Chunk:
    """A phrase.

    Attributes:
        first: number of its first word.
        last: number of its last word, included.
        boundary: p of its beginning, 0..1; 1 for the first phrase.
    """

    first: int
    last: int
    boundary: float


@dataclass(frozen=True)
class Chunks:
    """The phrases of a prompt.

    Attributes:
        found: in order; together they hold every word.
        boundaries: F, the share of words that begin a phrase.
        mean: G, the mean p of all words.
    """

    found: tuple[Chunk, ...]
    boundaries: float
    mean: float

    @property
    def ratio(self) -> float:
        """R, words for each phrase."""
        return 1 / self.boundaries if self.boundaries else 0.0


def boundary_probabilities(rows: Tensor) -> Tensor:
    """p (n,) of words with rows (n, d): ``(1 - cos(h_n, h_{n-1})) / 2``, and 1 for the first."""
    unit = normalize(rows.double(), dim=-1)
    following = (1 - (unit[1:] * unit[:-1]).sum(-1)) / 2  # (n - 1,)
    return torch.cat([torch.ones(min(1, len(rows)), dtype=torch.float64), following.clamp(0, 1).cpu()])


def chunk_words(words: Sequence[str], rows: Tensor, share: float = 0.5) -> Chunks:
    """Phrases of n words, n may be 0.

    Args:
        words: as they are read, marks of punctuation among them.
        rows: (n, d) what the encoder makes of each.
        share: of the greatest p in the prompt, 0..1, from which a phrase begins; 0 begins one at every function word.
            Behind a mark of punctuation one begins in any case.

    Raises ``ValueError`` for rows of another number than words, and a share outside its range.
    """
    if len(words) != len(rows):
        raise ValueError(f"there are {len(words)} words and {len(rows)} rows of the text encoder")
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in 0..1, got {share:g}")
    p = boundary_probabilities(rows).tolist()
    starts = possible_starts(words)
    scores = {start: max(p[start:end]) for start, end in _pairs(starts, len(words)) if start}
    greatest = max(scores.values(), default=0.0)
    kept = [start for start in starts if not start or _closed(words, start) or scores[start] >= share * greatest]
    found = tuple(Chunk(start, end - 1, scores.get(start, 1.0)) for start, end in _pairs(kept, len(words)))
    count = max(len(words), 1)
    return Chunks(found, len(found) / count, sum(p) / count)


def possible_starts(words: Sequence[str]) -> list[int]:
    """Where a phrase may begin: at the first word, behind punctuation, and at the first of a run of function words."""
    starts = [0] if words else []
    for number in range(1, len(words)):
        before, here = words[number - 1], words[number]
        opens = here in FUNCTION_WORDS and before not in FUNCTION_WORDS
        if not is_closing(here) and (opens or is_closing(before)):
            starts.append(number)
    return starts


def is_closing(word: str) -> bool:
    """Whether a word is punctuation that ends a phrase."""
    return bool(word) and all(character in CLOSING for character in word)


def _pairs(starts: Sequence[int], count: int) -> list[tuple[int, int]]:
    """Each start with the one that follows, the last with the number of words."""
    return list(zip(starts, [*starts[1:], count][: len(starts)], strict=True))


def _closed(words: Sequence[str], start: int) -> bool:
    return is_closing(words[start - 1])


def line_breaks(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Phrases of so many tokens, in lines of at most ``room`` tokens; a phrase that is longer has a line of its own.

    Returns the numbers of the phrases on each line. Raises ``ValueError`` for a room below 1.
    """
    if room < 1:
        raise ValueError(f"a line must have room for 1 token or more, got {room}")
    lines: list[list[int]] = []
    used = 0
    for number, length in enumerate(lengths):
        if not lines or used + length > room:
            lines.append([])
            used = 0
        lines[-1].append(number)
        used += length
    return lines
