"""The prompt of a sampling run, read again: which words stood where, and what the model was told."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..core.backbone import Placeholders, TokenizedText
from .adapters import backbone_of
from .prompt_syntax import spoken
from .prompts import words_to_show


def read_sampled(clip: Any, text: str, placeholders: Placeholders) -> tuple[TokenizedText, Tensor]:
    """A prompt as CLIP reads it, and the context (1, L, D) that it becomes.

    Prompt weights and ``embedding:name`` mean what they mean in CLIP Text Encode.
    Raises as ``backbone_of`` does, and as :func:`~.embeddings.read_prompts`.
    """
    backbone = backbone_of(clip=clip)
    return backbone.tokenize(text, placeholders), backbone.encode_text([text], placeholders).context


def wanted_words(words: Sequence[str], read: TokenizedText) -> list[str]:
    """The words to show, weights and escapes taken off; without any, every word of the text.

    Raises ``ValueError`` for no words and a text that has none either, and for syntax that would be read as letters.
    """
    return [spoken(word) for word in words] if words else words_to_show(read)
