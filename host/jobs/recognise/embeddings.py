"""Embeddings of pictures as CLIP_VISION_OUTPUT carries them: read as one vector each, decomposed, and edited.

unCLIP models read ``image_embeds`` (P, D). Style models and FLUX Redux read ``last_hidden_state`` (P, tokens, D); of it
the mean over tokens is decomposed, and an edit adds one change to every token, so that their mean moves as asked.
"""

import copy
import re
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ....core.evaluate.similarity import unit
from ....core.messages import listed, plain, shown
from ....core.recognise.embeddings.align import AlignSettings, align
from ....core.recognise.embeddings.decompose import (
    Alignment,
    Decomposition,
    Edit,
    change_of,
    decompose,
    edited_weights,
    name_axes,
)
from ...shared.errors import UnsupportedModelError
from ...shared.progress import check_interrupt
from ..paired_texts import text_features
from ..vision import BATCH, OnStep, check_vision, encoder_origin

Reads = Literal["one vector", "positions"]
READS: dict[Reads, str] = {"one vector": "image_embeds", "positions": "last_hidden_state"}
"""What of a CLIP_VISION_OUTPUT is read: the vector that unCLIP models take, or the positions that style models take."""

LINE = re.compile(r"^(?P<a>.+?)\s*(?:->\s*(?P<b>.+)|\*\s*(?P<factor>[\d.]+)|=\s*(?P<value>[\d.]+))$")
FORMS = "cat -> dog, snow * 1.5, fox = 1, or red = 0"
SHOWN = 8


def vectors_of(output: Any, reads: str) -> Tensor:
    """(P, D) one vector for each picture of a CLIP_VISION_OUTPUT, at its own length.

    Raises :class:`UnsupportedModelError` for what is no such output, or lacks what is read.
    """
    value = getattr(output, READS[reads], None)  # type: ignore[index]
    wanted = 2 if reads == "one vector" else 3
    if not isinstance(value, Tensor) or value.ndim != wanted or not len(value):
        raise UnsupportedModelError(
            f"this CLIP_VISION_OUTPUT has no {'single vector' if wanted == 2 else 'positions'} for a picture; connect "
            f"CLIP Vision Encode, and choose another of {listed(READS)} in Align Text and Pictures where the encoder "
            "has only that"
        )
    rows = value.detach().float().cpu()
    return rows if wanted == 2 else rows.mean(1)


def learn_alignment(
    clip_vision: Any,
    clip: Any,
    pictures: Tensor,
    captions: Sequence[str],
    mentioned: Tensor,
    names: Sequence[str],
    reads: str,
    settings: AlignSettings,
    on_step: OnStep | None = None,
) -> Alignment:
    """Common axes of pictures (P, 3, H, W) and their captions, with directions of concepts; ``mentioned`` (P, K)
    bool."""
    check_vision(clip_vision)
    rows = []
    for part in pictures.split(BATCH):
        check_interrupt()
        with torch.no_grad():
            output = clip_vision.encode_image(part.movedim(1, -1).contiguous(), crop=False)
        rows.append(vectors_of(output, reads))
    seen = unit(torch.cat(rows))
    axes = align(seen, text_features(clip, captions, on_step), settings)
    return name_axes(axes, seen, mentioned, names, encoder_origin(clip_vision, seen.shape[1], reads))


def decomposed(alignment: Alignment, output: Any, sparsity: float) -> Decomposition:
    """The pictures of a CLIP_VISION_OUTPUT as sparse sums of concepts.

    Raises ``ValueError`` for another width than the alignment's.
    """
    vectors = _fitting(alignment, output)
    return decompose(alignment, alignment.axes.of_pictures(unit(vectors)), sparsity)


def decomposed_text(alignment: Alignment, conditioning: Any, sparsity: float) -> Decomposition:
    """The prompts of a CONDITIONING, by their single vectors.

    Raises ``ValueError`` for a conditioning without one, or of another width.
    """
    rows = [entry[1].get("pooled_output") for entry in conditioning]
    if not rows or any(not isinstance(row, Tensor) for row in rows):
        raise ValueError(
            "this CONDITIONING has no single vector for its text; connect CLIP Text Encode with a CLIP model"
        )
    vectors = torch.cat([row.detach().float().cpu().reshape(-1, row.shape[-1]) for row in rows])
    if vectors.shape[1] != len(alignment.axes.text_mean):
        raise ValueError(
            f"this CONDITIONING has {vectors.shape[1]} numbers, and the texts of the alignment have "
            f"{len(alignment.axes.text_mean)}; use the text encoder that Align Text and Pictures read"
        )
    return decompose(alignment, alignment.axes.of_texts(unit(vectors)), sparsity)


def read_edits(text: str, alignment: Alignment) -> list[Edit]:
    """Edits as people write them, one a line. Raises ``ValueError`` for other forms, and for unknown concepts."""
    edits = []
    for line in (line.strip() for line in text.splitlines()):
        if not line:
            continue
        found = LINE.match(line)
        if found is None or any(not _is_number(found[name]) for name in ("factor", "value") if found[name]):
            raise ValueError(f"an edit is written as {FORMS}; got {shown(line)}")
        concept = alignment.index(found["a"].strip())
        if found["b"]:
            edits.append(Edit(concept, to=alignment.index(found["b"].strip())))
        elif found["factor"]:
            edits.append(Edit(concept, factor=float(found["factor"])))
        else:
            edits.append(Edit(concept, value=float(found["value"])))
    if not edits:
        raise ValueError(f"edits is empty; write one per line: {FORMS}")
    return edits


def edit_output(
    alignment: Alignment, output: Any, edits: Sequence[Edit], sparsity: float, strength: float
) -> tuple[Any, Tensor, Tensor]:
    """A copy of a CLIP_VISION_OUTPUT with edited embeddings, and the weights (P, K) before and after.

    What no edit speaks of stays bit for bit.
    """
    vectors = _fitting(alignment, output)
    before = decomposed(alignment, output, sparsity).weights
    after = before + strength * (edited_weights(before, edits) - before)
    change = vectors.norm(dim=1, keepdim=True) * change_of(alignment, before, after)  # (P, D)
    edited = copy.copy(output)
    for name in READS.values():
        value = getattr(output, name, None)
        own = name == READS[alignment.origin.site]  # type: ignore[index]
        if isinstance(value, Tensor) and (own or (value.ndim == 3 and _same(value, output, alignment))):
            moved = value + (change if value.ndim == 2 else change[:, None]).to(value)
            object.__setattr__(edited, name, moved)
    return edited, before, after


def weight_lines(alignment: Alignment, found: Decomposition) -> list[str]:
    """For each embedding its largest weights by name, and how much they explain."""
    lines = []
    for weights, share in zip(found.weights, found.explained, strict=True):
        order = [k for k in weights.argsort(descending=True, stable=True).tolist() if float(weights[k]) >= 0.005][
            :SHOWN
        ]
        said = ", ".join(f"{plain(alignment.names[k])} {float(weights[k]):.2f}" for k in order)
        lines.append(f"{said or 'no concept'} (R2 {float(share):.2f})")
    return lines


def edit_lines(alignment: Alignment, before: Tensor, after: Tensor) -> list[str]:
    """For each embedding which weights changed, from what to what."""
    lines = []
    for old, new in zip(before, after, strict=True):
        changed = (old != new).nonzero()[:, 0].tolist()
        said = ", ".join(f"{plain(alignment.names[k])} {float(old[k]):.2f} to {float(new[k]):.2f}" for k in changed)
        lines.append(said or "nothing changed: the embedding holds none of what the edits name")
    return lines


def _fitting(alignment: Alignment, output: Any) -> Tensor:
    vectors = vectors_of(output, alignment.origin.site)
    if vectors.shape[1] != alignment.origin.width:
        raise ValueError(
            f"this CLIP_VISION_OUTPUT has {vectors.shape[1]} numbers, and the alignment was learnt from "
            f"{alignment.origin.width} of {alignment.origin.model}; encode the picture with that CLIP_VISION"
        )
    return vectors


def _same(value: Tensor, output: Any, alignment: Alignment) -> bool:
    """Whether a field holds the same numbers as the one that the alignment reads, as with SigLIP."""
    read = getattr(output, READS[alignment.origin.site], None)  # type: ignore[index]
    return isinstance(read, Tensor) and value.shape == read.shape and value.equal(read)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
