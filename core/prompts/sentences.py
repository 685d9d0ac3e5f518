"""The sentences of a prompt: how like they are, which say the same, which may contradict one another.

Inspired by Large Concept Models (arXiv 2412.08821), which predict text a sentence at a time in the space of a sentence
encoder (SONAR). Its trained weights are not released. What transfers is the sentence as the unit, and the robust
normalisation of its space, ``z = (e - median) / (0.7413 IQR)`` for each dimension, on the user's own text encoder.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .chunks import FUNCTION_WORDS, is_closing

_END = re.compile(r"(?<!\\)[.!?;]+(?=\s|$)|\n+")
NEGATIONS = frozenset(["no", "not", "without", "never", "nothing", "none"])
_EMPTY = FUNCTION_WORDS - NEGATIONS | frozenset(
    ["is", "are", "was", "be", "has", "have", "there", "it", "they", "very"]
)
_BEING = frozenset(["is", "are", "was", "were", "looks", "look"])
NORMAL_IQR = 0.7413
"""The standard deviation of normal numbers as a share of their interquartile range."""

_REFERENCE = """
a cat, a dog and a horse; a red car in front of a house; two people at a table; a green tree on a hill;
an old man with a hat; a blue bird in the sky; a bowl of apples; a city street at night; a painting of a fish;
a small boat on a lake; a woman reads a book; a rocket above the clouds; the light is soft and warm;
a drawing in black and white; a yellow flower in the rain; an empty room with a window
"""
REFERENCE = tuple(start + one.strip() for start in ("a photo of ", "") for one in _REFERENCE.split(";"))
"""Sentences by which encodings are normalised: of several kinds, so that no dimension is that of one thing."""


def split_sentences(text: str) -> list[str]:
    """The sentences of a text without their ends, in order; lines end sentences too, and empty ones are left out."""
    return [sentence for part in _END.split(text) if (sentence := " ".join(part.split()))]


@dataclass(frozen=True, eq=False)
class RobustScale:
    """Where encodings lie, dimension by dimension.

    Attributes:
        median: (D,).
        spread: (D,) 0.7413 times the interquartile range; 1 in dimensions that do not vary.
    """

    median: Tensor
    spread: Tensor

    def normalised(self, rows: Tensor) -> Tensor:
        """z (..., D) of encodings."""
        return (rows - self.median) / self.spread

    def restored(self, rows: Tensor) -> Tensor:
        """The encodings (..., D) of z."""
        return rows * self.spread + self.median


def robust_scale(rows: Tensor) -> RobustScale:
    """The scale of encodings (n, D), n at least 4. Raises ``ValueError`` for fewer."""
    if len(rows) < 4:
        raise ValueError(f"a scale needs 4 encodings or more, got {len(rows)}")
    quarter, median, three = rows.float().quantile(torch.tensor([0.25, 0.5, 0.75], device=rows.device), dim=0)
    spread = NORMAL_IQR * (three - quarter)
    return RobustScale(median, torch.where(spread > 1e-6 * median.abs().clamp_min(1e-6), spread, 1.0))


def similarities(features: Tensor, scale: RobustScale) -> Tensor:
    """(n, n) cosines of normalised encodings (n, D)."""
    unit = normalize(scale.normalised(features.float()), dim=-1)
    return unit @ unit.T


def content_words(words: Sequence[str]) -> tuple[str, ...]:
    """The words that say something, each once; negations are among them."""
    said = dict.fromkeys(word for word in words if not is_closing(word))
    return tuple(word for word in said if word not in _EMPTY)


@dataclass(frozen=True)
class Relation:
    """How two sentences stand to one another.

    Attributes:
        first: number of the one.
        second: number of the other.
        similarity: cosine of their normalised encodings.
        redundant: whether one says nothing that the other does not.
        against: words by which they may contradict one another, one of each sentence; None for none.
    """

    first: int
    second: int
    similarity: float
    redundant: bool
    against: tuple[str, str] | None


def relations(words: Sequence[Sequence[str]], likeness: Tensor, redundant: float = 0.85) -> list[Relation]:
    """Every two of n sentences.

    One is redundant where all its words are in the other, or from a similarity on. Two may contradict one another where
    one negates a word that the other says, or where they say different things of the same word: right before it (*a
    red cat*, *a blue cat*), or behind a verb of being (*the sky is clear*, *the sky is grey*). Encoders do not know
    what excludes what, so this is a hint and no verdict.

    Args:
        words: of each sentence, in order, as the encoder reads them.
        likeness: (n, n) :func:`similarities`.
        redundant: similarity from which sentences say the same.
    """
    said = [content_words(one) for one in words]
    found = []
    for first in range(len(words)):
        for second in range(first + 1, len(words)):
            one, other = set(said[first]), set(said[second])
            against = _negated(said[first], said[second]) or _different_claims(words[first], words[second])
            held = bool(one) and bool(other) and (one <= other or other <= one)
            similar = float(likeness[first, second])
            found.append(Relation(first, second, similar, against is None and (held or similar >= redundant), against))
    return found


def _negated(one: Sequence[str], other: Sequence[str]) -> tuple[str, str] | None:
    """A word that only one of two sentences negates: the negation is the content word before it."""
    for mine, theirs in ((one, other), (other, one)):
        for negation, word in zip(mine, mine[1:], strict=False):
            if negation in NEGATIONS and word in theirs and not NEGATIONS & set(theirs):
                return (f"{negation} {word}", word) if mine is one else (word, f"{negation} {word}")
    return None


def _different_claims(one: Sequence[str], other: Sequence[str]) -> tuple[str, str] | None:
    """Two words that sentences say of the same word, each one that the other sentence does not have."""
    mine, theirs = _claims(one), _claims(other)
    for key, words in mine.items():
        for first in words:
            for second in theirs.get(key, ()):
                if first not in other and second not in one and not NEGATIONS & {first, second}:
                    return first, second
    return None


def _claims(words: Sequence[str]) -> dict[tuple[str, str], list[str]]:
    """What is said of each word, right before it and behind a verb of being."""
    found: dict[tuple[str, str], list[str]] = {}
    for number, word in enumerate(words):
        if word in _EMPTY or is_closing(word):
            continue
        before = words[number - 1] if number else ""
        if before and before not in _EMPTY and not is_closing(before):
            found.setdefault(("before", word), []).append(before)
        if number + 1 < len(words) and words[number + 1] in _BEING:
            rest = [later for later in words[number + 2 :] if later not in _EMPTY]
            found.setdefault(("being", word), []).extend(rest[:1])
    return found


def blended(encodings: Tensor, shares: Sequence[float], scale: RobustScale) -> Tensor:
    """One encoding (L, D) of n (n, L, D): the mean direction in the normalised space, of the mean length.

    ``z = (sum s_i |z_i|) * m / |m|`` with ``m = sum s_i z_i`` and shares that add up to one. A share of all gives that
    encoding back; a straight mean would be shorter than both, and weaker.

    Raises ``ValueError`` for another number of shares, a negative one, and shares that are all 0.
    """
    if len(shares) != len(encodings) or min(shares, default=-1) < 0 or not sum(shares):
        raise ValueError(f"{len(encodings)} sentences need as many shares of 0 or more, not all 0; got {list(shares)}")
    part = torch.tensor(shares, dtype=torch.float32, device=encodings.device) / sum(shares)
    z = scale.normalised(encodings.float())
    mean = torch.einsum("n,nld->ld", part, z)
    length = torch.einsum("n,nl->l", part, z.norm(dim=-1))
    unit = mean / mean.norm(dim=-1, keepdim=True).clamp_min(1e-8)
    return scale.restored(unit * length[:, None]).to(encodings.dtype)
