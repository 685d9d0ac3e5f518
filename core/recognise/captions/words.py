"""Which concepts captions mention."""

import re
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

LONGEST_TAG, TAGS_SHARE = 4, 0.6
"""Words of a tag at most, and the share of parts between commas that are so short where captions are lists of tags."""
_LISTS = (
    "a an the of in on at to and or with by from for is are was it its this that his her their my your as into near",
    "over under above below left right two three four photo picture image drawing style another some very no not",
)
_PASSED_OVER = frozenset(" ".join(_LISTS).split())


def mentions(captions: Sequence[str], concepts: Sequence[str]) -> Tensor:
    """(P, K) bool: whether each caption has each concept as whole words, in the singular or the plural."""
    patterns = [pattern_of(concept) for concept in concepts]
    found = [[pattern.search(caption.lower()) is not None for pattern in patterns] for caption in captions]
    return torch.tensor(found, dtype=torch.bool).reshape(len(captions), len(concepts))


def concepts_of(captions: Sequence[str], least: int = 2) -> list[str]:
    """What captions mention at least so often: their tags, where they are lists of tags, else their words."""
    parts = [[part.strip().lower() for part in caption.split(",") if part.strip()] for caption in captions]
    every = [part for of in parts for part in of]
    short = sum(len(part.split()) <= LONGEST_TAG for part in every)
    tags = len(every) > 1.5 * len(captions) and short >= TAGS_SHARE * len(every)
    if not tags:
        parts = [re.findall(r"[^\W\d_][\w'-]+", caption.lower()) for caption in captions]
    counts = Counter(word for of in parts for word in dict.fromkeys(of) if tags or word not in _PASSED_OVER)
    return [word for word, count in counts.items() if count >= least]


def pattern_of(concept: str) -> re.Pattern[str]:
    """What finds a concept in a caption in small letters: whole words, in the singular or the plural."""
    words = [re.escape(word) for word in concept.lower().split()]
    if not words:
        raise ValueError("a concept is empty; write at least one letter")
    ending = r"(?:s|es)?" if concept[-1:].isalpha() else ""
    return re.compile(r"(?<!\w)" + r"\s+".join(words) + ending + r"(?!\w)")
