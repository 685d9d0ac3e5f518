"""What Erase Concepts saves by encoding only the positions that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...core.backbone import Backbone, Placeholders
from ...core.erase.parts.concept_vectors import TokenMode, rows_of_each
from ...host.adapters import backbone_of
from .ground import Ground, Shape, made_up_words
from .meters import interleaved, ratios
from .settings import CostSettings

TEXTS = 64
"""Encoded in each run: the time of a text is then that of four batches."""


def text_encoding_cost(ground: Ground, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """Reading :data:`TEXTS` texts by their last subject token: positions up to it, against all 77 (``plain``).

    ``plain`` is what Erase Concepts did before, in batches as well. Beside it the largest difference of the vectors,
    and their largest value.
    """
    backbone, texts = backbone_of(clip=ground.clip), list(made_up_words(TEXTS))
    whole = _Whole(backbone)
    rows(whole, texts[:1], "last_subject")  # the text encoder is in memory now
    times = interleaved(
        lambda: rows(whole, texts, "last_subject"), lambda: rows(backbone, texts, "last_subject"), settings.repetitions
    )
    pairs = list(zip(rows(backbone, texts, "last_subject"), rows(whole, texts, "last_subject"), strict=True))
    return ratios(*times) | {
        "texts": TEXTS,
        "largest_difference": max(float((a - b).abs().max()) for a, b in pairs),
        "largest_value": round(max(float(b.abs().max()) for _, b in pairs), 2),
    }


def rows(backbone: Any, texts: Sequence[str], mode: TokenMode) -> list[Tensor]:
    """The vectors (n, D) of each text."""
    return [blocks[0].joined() for blocks in rows_of_each(backbone, texts, mode)]


class _Whole:
    """A backbone that encodes all positions, however few are settings for."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backbone, name)

    def encode_beginnings(self, texts: Sequence[str], length: int, placeholders: Placeholders | None = None) -> Tensor:
        return self._backbone.encode_text(texts, placeholders).context[:, :length]
