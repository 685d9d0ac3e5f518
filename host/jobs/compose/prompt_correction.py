"""Correction by Similarities on a CONDITIONING."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ....core.attention.words import find_word, occurrences
from ....core.backbone import Backbone, Placeholders
from ....core.compose.methods.t2i_zero import SimilaritySettings, correct_by_similarities
from ...adapters import backbone_of
from ..attribute.sampled_text import SampledText, read_conditioning, wanted_words


def correct_conditioning(
    clip: Any,
    conditioning: Sequence[Sequence[Any]],
    text: str,
    words: Sequence[str],
    settings: SimilaritySettings,
    placeholders: Placeholders,
) -> tuple[list[list[Any]], str]:
    """Correct the rows of concepts in every entry of a CONDITIONING.

    Args:
        clip: the text encoder that encoded it.
        conditioning: entries ``[context (B, L, D), extras]``; extras, such as a pooled text, stay as they are.
        text: the prompts that it was made of, one on each line.
        words: the concepts.
        settings: how.
        placeholders: learnt tokens that the text names.

    Returns:
        The new CONDITIONING, and one sentence that says in which columns the concepts are.

    Raises ``ValueError`` without words, for words that are not in the text, and as
    :func:`~..attribute.sampled_text.read_conditioning` does.
    """
    if not words:
        raise ValueError("there are no concepts: write the words of the prompt that are concepts into words")
    sampled = read_conditioning(clip, conditioning, text, placeholders)
    wanted = wanted_words(words, sampled)
    for word in wanted:
        if not any(_places(one, [word]) for one in sampled):
            find_word(sampled[0].mixed.text, word)  # raises, and says which words there are
    backbone, corrected = backbone_of(clip=clip), []
    for (context, extras), one in zip(conditioning, sampled, strict=True):
        places = _places(one, wanted)
        if one.mixed.text.start is None:
            rows = torch.cat([_of_span(context[0], span, places, settings) for span in one.mixed.text.spans])
        else:
            rows = _of_chunks(backbone, context[0], places, settings)
        corrected.append([rows.expand_as(context).clone(), extras])
    return corrected, _described(sampled, wanted)


def _of_chunks(backbone: Backbone, context: Tensor, places: Sequence[int], settings: SimilaritySettings) -> Tensor:
    """The rows of CLIP text encoders, corrected: in chunks with a start token each, SDXL's columns by encoder."""
    chunk, widths = backbone.encode_text([""]).context.shape[1], tuple(backbone.text_widths.values())
    return correct_by_similarities(context, places, settings, widths if len(widths) > 1 else (), chunk)


def _of_span(context: Tensor, span: range, places: Sequence[int], settings: SimilaritySettings) -> Tensor:
    """The rows of one text encoder of a transformer, corrected: in one piece without a start token."""
    own = [place - span.start for place in places if place in span]
    return correct_by_similarities(context[span.start : span.stop], own, settings, start=False)


def _places(sampled: SampledText, words: Sequence[str]) -> list[int]:
    """The columns of all occurrences of the words in one entry."""
    return sorted({place for word in words for run in occurrences(sampled.mixed.text, word) for place in run})


def _described(sampled: Sequence[SampledText], words: Sequence[str]) -> str:
    """``Corrected: cat in column 2, dog in column 5.``"""
    found = []
    for word in words:
        columns = sorted({place for one in sampled for place in _places(one, [word])})
        found.append(f"{word} in column{'s' if len(columns) > 1 else ''} {', '.join(map(str, columns))}")
    return f"Corrected: {'; '.join(found)}."
