"""Texts to conditionings with a CLIP of ComfyUI, learnt vectors standing where tokens stand."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from ....core.backbone import Conditioning, Placeholders, Vocabulary
from ....core.encoding_checks import check_encoded
from ....core.messages import shown
from ...shared.families import FAMILIES
from ...shared.text.chunks import check_alike
from ...shared.text.prompt_syntax import check_unweighted, read_syntax
from ...shared.text.token_table import check_widths, joint_vocabulary, placeholder_sizes
from ..gradients import saving_copies, wants_gradients
from ..parts import encoder_names, table_row, text_family, text_widths, word_table
from ..transformers import reading
from .prompts import Reading, read


def vocabulary(clip: Any) -> Vocabulary:
    """The words that every encoder knows as one token, and their rows of each table, as in force."""
    import comfy.model_management as management

    management.load_models_gpu([clip.patcher])
    encoders = {
        name: (reading.reader_of(clip, name).tokenizer, word_table(clip, name).weight) for name in encoder_names(clip)
    }
    return joint_vocabulary(encoders)


def encode(clip: Any, texts: Sequence[str], placeholders: Placeholders) -> Conditioning:
    """Context (B, L, D) and ``pooled_output`` (B, d), as CLIP Text Encode gives them; gradients reach the vectors.

    All texts go through the encoder at once. Raises ``ValueError`` for no texts and for vectors that do not fit,
    ``TextTooLongError`` for texts of unequal numbers of chunks.
    """
    if isinstance(texts, str) or not texts:
        raise ValueError("encode_text takes a list of at least one text")
    check_vectors(clip, placeholders)
    readings = [read(clip, text, placeholders) for text in texts]
    check_alike([(text, reading.chunks) for text, reading in zip(texts, readings, strict=True)])
    with saving_copies() if wants_gradients() else nullcontext(), _recording_pooled(clip) as outputs:
        context, pooled = clip.encode_from_tokens(_as_one(readings), return_pooled=True)
    extras = {} if pooled is None else {"pooled_output": _of_first_chunks(outputs[-1], readings).to(pooled.device)}
    context = context.reshape(len(texts), -1, context.shape[-1])
    if not wants_gradients():  # a training looks at its loss
        check_encoded(context, texts, placeholders)
    return Conditioning(context, extras)


def _as_one(readings: Sequence[Reading]) -> dict[str, list[Any]]:
    """Several prompts as the chunks of one: ComfyUI encodes the chunks of a long prompt side by side."""
    return {name: [chunk for one in readings for chunk in one.tokens[name]] for name in readings[0].tokens}


def _of_first_chunks(pooled: Tensor, readings: Sequence[Reading]) -> Tensor:
    """(B, d) of a row per chunk, and perhaps one more of the empty text, by which ComfyUI weighs words."""
    chunks = readings[0].chunks
    return pooled[: len(readings) * chunks : chunks]


@contextmanager
def _recording_pooled(clip: Any) -> Iterator[list[Tensor]]:
    """Within the context, note what is pooled of every chunk; ComfyUI hands out the first chunk's alone.

    It is that of the one encoder, or of SDXL's second.
    """
    outputs: list[Tensor] = []
    encoder = getattr(clip.cond_stage_model, encoder_names(clip)[-1])
    handle = encoder.register_forward_hook(lambda module, given, found: outputs.append(found[1]))
    try:
        yield outputs
    finally:
        handle.remove()


def encode_prompt(clip: Any, text: str, placeholders: Placeholders) -> Any:
    """CONDITIONING of one prompt, with the hooks and schedules that hang on the CLIP."""
    family = FAMILIES[text_family(clip)]
    if family.transformer is None:
        check_vectors(clip, placeholders)
        tokens = read(clip, text, placeholders).tokens
    else:
        tokens = reading.read(clip, family, text, placeholders).tokens
    encoded = clip.encode_from_tokens_scheduled(tokens)
    for context, _ in encoded:
        check_encoded(context, [text] * len(context), placeholders)
    return encoded


def word_vectors(clip: Any, word: str) -> dict[str, Tensor]:
    """Rows (n, d) float32 of a word's tokens in each encoder's table, as in force; ``embedding:name`` gives its own.

    Raises ``ValueError`` for a word without tokens, and for one with a weight.
    """
    import comfy.model_management as management

    family = FAMILIES[text_family(clip)]
    if family.transformer is not None:
        return reading.word_vectors(clip, family, word)

    management.load_models_gpu([clip.patcher])
    check_unweighted(read_syntax(word), word)
    tokens, vectors = read(clip, word, {}).tokens, {}
    for name in encoder_names(clip):
        end = getattr(clip.tokenizer, name).end_token
        entries = [entry[0] for entry in tokens[name.removeprefix("clip_")][0][1:]]
        own = entries[: next(at for at, entry in enumerate(entries) if not isinstance(entry, Tensor) and entry == end)]
        if not own:
            raise ValueError(f"{shown(word)} has no tokens; give a word")
        vectors[name] = torch.stack([table_row(clip, name, entry) for entry in own])
    return vectors


def check_vectors(clip: Any, placeholders: Placeholders) -> None:
    """Raise ``ValueError`` for placeholders without vectors, or with vectors that do not fit the text encoders."""
    placeholder_sizes(placeholders)
    check_widths(text_widths(clip), placeholders)
