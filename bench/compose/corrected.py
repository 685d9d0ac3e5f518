"""Prompts of several objects, changed by T2I-Zero's Correction by Similarities before they are drawn."""

from dataclasses import replace

from ...core.attention.words import occurrences
from ...core.backbone import Backbone, Conditioning
from ...core.compose.methods.t2i_zero import SimilaritySettings, correct_by_similarities
from .cases import Wanted


def corrected(backbone: Backbone, asked: Wanted, settings: SimilaritySettings) -> Conditioning:
    """The prompt of a case, with the rows of all tokens of its objects corrected."""
    prompt = backbone.encode_text([asked.prompt], asked.placeholders)
    tokens = backbone.tokenize(asked.prompt, asked.placeholders)
    places = sorted({place for text in asked.texts for run in occurrences(tokens, text) for place in run})
    return replace(prompt, context=correct_by_similarities(prompt.context[0], places, settings)[None])
