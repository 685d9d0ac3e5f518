"""All that the maths knows of a model.

A :class:`Backbone` is a latent image model as six things: pictures and latents, words and conditionings, the noise
schedule, the prediction, the attention sites, and their weights. Hosts implement it; ``core`` never asks what
stands behind it. Nothing here assumes square pictures, a latent size, 77 tokens, one text encoder, a UNet, or what the
model was trained to predict.
"""

from .attention import AttentionCall, AttentionEdit, AttentionInputs, AttentionKind, AttentionSite, EditedOutput, Tap
from .model import Backbone
from .texts import (
    Conditioning,
    Placeholders,
    TextTooLongError,
    Token,
    TokenizedText,
    TokenVectors,
    UnequalTextsError,
    Vocabulary,
)
from .weights import AttentionWeight, KeyValueWeight, TextChanges, TextLayers, TextWeight

__all__ = [
    "AttentionCall",
    "AttentionEdit",
    "AttentionInputs",
    "AttentionKind",
    "AttentionSite",
    "AttentionWeight",
    "Backbone",
    "Conditioning",
    "EditedOutput",
    "KeyValueWeight",
    "Placeholders",
    "Tap",
    "TextChanges",
    "TextLayers",
    "TextTooLongError",
    "TextWeight",
    "Token",
    "TokenVectors",
    "TokenizedText",
    "UnequalTextsError",
    "Vocabulary",
]
