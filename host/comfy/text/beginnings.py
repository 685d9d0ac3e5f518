"""The first positions of encoded texts, with a CLIP of ComfyUI: its text encoders are causal, so they can stop there.

ComfyUI's encoders add a position table of fixed length to what they read, so shorter texts do not fit. They are read
by shallow copies of the modules above that table, in which its first rows stand for it. The CLIP itself stays as it is.
"""

import copy
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ....core.backbone import Placeholders, TextTooLongError
from ....core.encoding_checks import check_encoded
from ..parts import encoder_names, word_table
from .encoding import check_vectors, encode
from .prompts import read

_TABLE = ("transformer", "text_model", "embeddings", "position_embedding")
"""From an encoder to its position table."""

Tokens = dict[str, list[list[Any]]]
"""By an encoder's short name, the entries (token id or vector, weight) of each text."""


def encode_beginnings(clip: Any, texts: Sequence[str], length: int, placeholders: Placeholders) -> Tensor:
    """The first ``length`` positions (B, length, D) of each text's context; call it without gradients.

    Raises as :func:`~.encoding.encode` does, and ``TextTooLongError`` for a text that has fewer positions.
    """
    if isinstance(texts, str) or not texts:
        raise ValueError("encode_beginnings takes a list of at least one text")
    check_vectors(clip, placeholders)
    names = encoder_names(clip)
    tokens = [read(clip, text, placeholders).tokens for text in texts]
    held = min(sum(len(chunk) for chunk in entries) for one in tokens for entries in one.values())
    if length > held:
        raise TextTooLongError(f"{length} positions were asked for of a text that has {held}")
    firsts = {name.removeprefix("clip_"): [one[name.removeprefix("clip_")][0] for one in tokens] for name in names}
    kept = max(length, 2) + max(_left_out(clip, name, firsts[name.removeprefix("clip_")]) for name in names)
    if kept >= _least_length(firsts) or not all(_is_causal(clip, name) for name in names):
        return encode(clip, texts, placeholders).context[:, :length]
    shorter = {name: [chunk[:kept] for chunk in chunks] for name, chunks in firsts.items()}
    context = _reading(clip, names, kept).encode_from_tokens(shorter)
    context = context.reshape(len(texts), kept, -1)[:, :length]
    check_encoded(context, texts, placeholders)
    return context


def _least_length(firsts: Tokens) -> int:
    return min(len(chunk) for chunks in firsts.values() for chunk in chunks)


def _left_out(clip: Any, name: str, chunks: Sequence[Sequence[Any]]) -> int:
    """How many vectors of a text do not fit this encoder, which leaves them out and moves up what is behind them."""
    width = word_table(clip, name).weight.shape[1]
    return max(sum(isinstance(entry, Tensor) and entry.shape[-1] != width for entry, *_ in chunk) for chunk in chunks)


def _is_causal(clip: Any, name: str) -> bool:
    import comfy.clip_model

    return isinstance(getattr(clip.cond_stage_model, name).transformer, comfy.clip_model.CLIPTextModel)


def _reading(clip: Any, names: Sequence[str], length: int) -> Any:
    """A copy of the CLIP, over the same weights, whose encoders read texts of ``length`` positions."""
    changed = copy.copy(clip)
    for name in names:
        changed.cond_stage_model = _with_part(changed.cond_stage_model, (name, *_TABLE), length)
    return changed


def _with_part(module: nn.Module, path: Sequence[str], length: int) -> nn.Module:
    """A shallow copy of a module in which the beginning of the table at the end of the path stands for the whole."""
    if not path:
        return _Beginning(module, length)
    changed, (name, *rest) = copy.copy(module), path
    changed._modules = {**module._modules, name: _with_part(module.get_submodule(name), rest, length)}
    return changed


class _Beginning(nn.Module):
    """The first rows of a table, wherever ComfyUI holds it when they are asked for."""

    def __init__(self, table: nn.Module, length: int) -> None:
        super().__init__()
        self._whole = (table,)  # in a tuple: it stays the part of another module
        self._length = length

    @property
    def weight(self) -> Tensor:
        """(length, d)."""
        rows: Tensor = self._whole[0].weight  # type: ignore[assignment]
        return rows[: self._length]
