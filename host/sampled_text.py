"""The prompt of a sampling run, read again: which words stood where, and what the model was told."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..core.backbone import Placeholders, TokenizedText
from .adapters import backbone_of
from .embeddings import mark_embeddings, read_prompt
from .handles import ClipHandle
from .prompts import words_to_show


def read_sampled(clip: Any, text: str, placeholders: Placeholders) -> tuple[TokenizedText, Tensor]:
    """A prompt as CLIP reads it, and the context (1, L, D) that it becomes.

    Inside ComfyUI prompt weights, ``embedding:name`` and long prompts mean what they mean in CLIP Text Encode.
    Raises as ``backbone_of`` and :func:`~.embeddings.read_prompt` do.
    """
    backbone = backbone_of(clip=clip)
    if isinstance(clip, ClipHandle):
        text, from_files = read_prompt(text, backbone, clip.embedding_folders)
        placeholders = {**from_files, **placeholders}
    return backbone.tokenize(text, placeholders), backbone.encode_text([text], placeholders).context


def wanted_words(clip: Any, words: Sequence[str], read: TokenizedText) -> list[str]:
    """The words to show as the reading spells them; without any, every word of the text.

    Raises ``ValueError`` for no words and a text that has none either.
    """
    if not words:
        return words_to_show(read)
    return [mark_embeddings(word) for word in words] if isinstance(clip, ClipHandle) else list(words)
