"""Attributes that people name in words, judged in parts of pictures by a picture encoder and its text encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ....core.evaluate.composition import Attributes
from ..paired_texts import word_features

NONE = "none"
BY_WORDS = "words, by CLIP_VISION and CLIP"


@dataclass(frozen=True)
class NamedAttributes:
    """Attributes in words, and the text encoder that reads them; of K concepts, None for one without an attribute."""

    clip: Any
    words: tuple[str | None, ...]


def named_attributes(clip: Any, lines: Sequence[str], names: Sequence[str]) -> NamedAttributes | None:
    """A line for each concept; ``none`` for one without an attribute. None where nothing is written.

    Raises ``ValueError`` without a text encoder, for another number of lines than of concepts, and for fewer than two
    different attributes, since each is compared with the others.
    """
    if not lines:
        return None
    if clip is None:
        raise ValueError("attributes are judged by words: connect the CLIP that was trained with this CLIP_VISION")
    if len(lines) != len(names):
        raise ValueError(
            f"attributes has {len(lines)} lines for {len(names)} concepts; write a line for each, and {NONE} for a "
            "concept without an attribute"
        )
    words = tuple(None if line.lower() == NONE else line for line in lines)
    if len({word for word in words if word is not None}) < 2:
        raise ValueError("write at least two different attributes: each is compared with those of the other concepts")
    return NamedAttributes(clip, words)


def judge_by_words(
    clip_vision: Any, named: NamedAttributes, regions: Tensor, sources: Tensor, counts: Tensor
) -> Attributes:
    """Which of the named attributes each region is most like, where its concept is in the picture.

    Args:
        clip_vision: the picture encoder.
        named: K attributes.
        regions: (K, P, D) features of the regions, at unit length.
        sources: (K, D) features of the concepts.
        counts: (K, P) how often each concept is in each picture, 1 for a style.

    Raises :class:`~...shared.errors.UnsupportedModelError` for encoders that are no pair.
    """
    asked = list(dict.fromkeys(word for word in named.words if word is not None))
    texts = word_features(clip_vision, named.clip, asked, sources.shape[1])  # (A, D)
    nearest, of_sources = (regions @ texts.T).argmax(2), (sources @ texts.T).argmax(1)  # (K, P), (K,)
    seen = []
    for number, own in enumerate(named.words):
        row = zip(nearest[number].tolist(), counts[number].tolist(), strict=True)
        seen.append(tuple(asked[one] if own is not None and there else None for one, there in row))
    pairs = zip(named.words, of_sources.tolist(), strict=True)
    in_sources = tuple(None if own is None else asked[one] for own, one in pairs)
    return Attributes(named.words, tuple(seen), in_sources, BY_WORDS)
