"""Texts to conditionings with transformers' CLIP text towers, learnt vectors standing where tokens stand."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...core.backbone import Conditioning, Placeholders, Vocabulary
from ...core.messages import shown
from ..files.embeddings import read_prompts
from ..shared.handles import ClipHandle, TextEncoder
from ..shared.text.chunks import Chunk, Layout, check_alike, lay_out
from ..shared.text.prompt_syntax import Part, check_unweighted
from ..shared.text.token_table import check_widths, joint_vocabulary, pieces_of, placeholder_sizes
from ..shared.weights.weight_patches import call_with, constants, patched_weights


def text_widths(clip: ClipHandle) -> dict[str, int]:
    """Encoder name to the width of its token table."""
    return {name: _table(encoder).shape[1] for name, encoder in clip.encoders.items()}


def word_vectors(clip: ClipHandle, word: str) -> dict[str, Tensor]:
    """Rows (n, d) of a word's tokens in each encoder's table, copied; ``embedding:name`` gives the file's own.

    Raises ``ValueError`` for an empty word, and for one with a weight.
    """
    (parts,), learnt = _read(clip, [word], {})
    check_unweighted(parts, word)
    sizes, vectors = placeholder_sizes(learnt), {}
    for name, encoder in clip.encoders.items():
        table = _table(encoder).detach()
        rows = [
            table[piece.id] if piece.placeholder is None else learnt[piece.placeholder][name][piece.index].to(table)
            for piece in pieces_of(parts, encoder.tokenizer, sizes)
        ]
        if not rows:
            raise ValueError(f"{shown(word)} has no tokens; give a word")
        vectors[name] = torch.stack(rows)
    return vectors


def vocabulary(clip: ClipHandle) -> Vocabulary:
    """The words that every encoder knows as one token, and their rows of each table."""
    return joint_vocabulary({name: (encoder.tokenizer, _table(encoder)) for name, encoder in clip.encoders.items()})


def first_layout(clip: ClipHandle, text: str, placeholders: Placeholders | None) -> Layout:
    """How the first encoder reads a text (CLIP towers of one model share their vocabulary).

    Raises as :func:`~..files.embeddings.read_prompts` does, and as :func:`~..shared.text.chunks.lay_out`.
    """
    (parts,), given = _read(clip, [text], placeholders or {})
    encoder = next(iter(clip.encoders.values()))
    return lay_out(parts, encoder.tokenizer, placeholder_sizes(given))


def encode(clip: ClipHandle, texts: Sequence[str], placeholders: Placeholders | None) -> Conditioning:
    """Context (B, L, sum of widths) and the last encoder's pooled output (B, d) as ``pooled_output``.

    L is 77 for each chunk of the texts, as in ComfyUI, and the pooled output is the first chunk's. A weight w moves
    what a position says away from what it says in the empty text, ``e + w * (z - e)``; pooled outputs know no weights.

    Raises as :func:`first_layout` does, and ``TextTooLongError`` for texts that need unequal numbers of chunks.
    """
    context, pooled = _encode(clip, texts, placeholders, None)
    return Conditioning(context, {"pooled_output": pooled})


def encode_beginnings(clip: ClipHandle, texts: Sequence[str], length: int, placeholders: Placeholders | None) -> Tensor:
    """The first ``length`` positions (B, length, sum of widths) of the context that :func:`encode` gives."""
    return _encode(clip, texts, placeholders, length)[0][:, :length]


def _encode(
    clip: ClipHandle, texts: Sequence[str], placeholders: Placeholders | None, length: int | None
) -> tuple[Tensor, Tensor]:
    """Context and pooled output; of the first ``length`` positions, or all of them."""
    if isinstance(texts, str) or not texts:
        raise ValueError("encode_text takes a list of at least one text")
    check_widths(text_widths(clip), placeholders or {})
    read, given = _read(clip, texts, placeholders or {})
    sizes = placeholder_sizes(given)
    contexts: list[Tensor] = []
    for name, encoder in clip.encoders.items():
        layouts = [lay_out(parts, encoder.tokenizer, sizes) for parts in read]
        if length is not None:
            layouts = [layout.beginning(length) for layout in layouts]
        check_alike([(text, len(layout.chunks)) for text, layout in zip(texts, layouts, strict=True)])
        vectors = {key: vectors[name] for key, vectors in given.items()}
        context, pooled = _run_weighted(encoder, layouts, vectors)
        contexts.append(context)
    return torch.cat(contexts, dim=-1), pooled


def _read(clip: ClipHandle, texts: Sequence[str], placeholders: Placeholders) -> tuple[list[list[Part]], Placeholders]:
    return read_prompts(texts, placeholders, text_widths(clip), clip.embedding_folders)


def _run_weighted(
    encoder: TextEncoder, layouts: Sequence[Layout], vectors: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Context (B, L, d), the prompt's weights applied, and pooled output (B, d) of layouts with equally many chunks."""
    chunks = [chunk for layout in layouts for chunk in layout.chunks]
    asked = [chunk.weights() for chunk in chunks]
    if all(weight == 1.0 for row in asked for weight in row):
        context, pooled = _run(encoder, chunks, vectors)
    else:
        (empty_text,) = lay_out([], encoder.tokenizer, {}).chunks
        context, pooled = _run(encoder, [*chunks, empty_text.beginning(len(chunks[0].ids))], vectors)
        context, empty = context[:-1], context[-1:]
        weights = torch.tensor(asked, device=context.device, dtype=context.dtype)[..., None]  # (B chunks, 77, 1)
        context = torch.where(weights == 1, context, empty + weights * (context - empty))
    each = len(chunks) // len(layouts)
    return context.reshape(len(layouts), -1, context.shape[-1]), pooled[: len(chunks) : each]


def _run(encoder: TextEncoder, chunks: list[Chunk], vectors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """One encoder's context (B, 77, d) and pooled output (B, d) of B chunks."""
    model = encoder.model
    table = _table(encoder)
    ids = torch.tensor([chunk.ids for chunk in chunks], device=table.device)
    tensors = (constants(model) if torch.is_grad_enabled() else {}) | patched_weights(model, encoder.patches)
    with _rows_replaced(model.get_input_embeddings(), _learnt_rows(chunks, vectors, table)):
        output = call_with(model, tensors, input_ids=ids, output_hidden_states=encoder.layer != -1)
    return _context(encoder, output), _pooled(output)


def _context(encoder: TextEncoder, output: Any) -> Tensor:
    if encoder.layer == -1:
        return output.last_hidden_state
    hidden = output.hidden_states[encoder.layer]
    return _final_norm(encoder.model)(hidden) if encoder.normalise else hidden


def _final_norm(model: nn.Module) -> nn.Module:
    """The last layer norm; transformers before 5, and the projecting tower, keep it one level down."""
    return next(module for name, module in model.named_modules() if name.split(".")[-1] == "final_layer_norm")


def _pooled(output: Any) -> Tensor:
    """The end-of-text state: projected where the tower projects it (SDXL's ``clip_g``)."""
    projected = getattr(output, "text_embeds", None)
    return output.pooler_output if projected is None else projected


def _learnt_rows(chunks: list[Chunk], vectors: Mapping[str, Tensor], table: Tensor) -> tuple[Tensor, Tensor] | None:
    """Where learnt vectors stand (B, 77, 1) bool, and the rows (B, 77, d) to write there; None without any."""
    spots = [(row, i, piece) for row, chunk in enumerate(chunks) for i, piece in enumerate(chunk.pieces, 1)]
    spots = [spot for spot in spots if spot[2].placeholder is not None]
    if not spots:
        return None
    index = torch.tensor([spot[0] for spot in spots]), torch.tensor([spot[1] for spot in spots])
    rows = torch.stack([vectors[str(piece.placeholder)][piece.index].to(table) for _, _, piece in spots])
    size = (len(chunks), len(chunks[0].ids))
    here = torch.zeros(size, dtype=torch.bool).index_put(index, torch.tensor(True))
    values = torch.zeros(*size, table.shape[1], dtype=table.dtype, device=table.device)
    index = index[0].to(table.device), index[1].to(table.device)
    return here[..., None].to(table.device), values.index_put(index, rows)


@contextmanager
def _rows_replaced(embeddings: nn.Module, learnt: tuple[Tensor, Tensor] | None) -> Iterator[None]:
    """Within the context the embedding layer returns the learnt rows where they stand; gradients reach them."""
    if learnt is None:
        yield
        return
    here, rows = learnt
    handle = embeddings.register_forward_hook(lambda module, args, output: torch.where(here, rows, output))
    try:
        yield
    finally:
        handle.remove()


def _table(encoder: TextEncoder) -> Tensor:
    return encoder.model.get_input_embeddings().weight
