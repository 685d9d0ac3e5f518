"""Conditionings that a language model made of pictures and a prompt behind them: which rows are those of the prompt."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ....core.backbone import TokenizedText
from ...comfy.transformers.pictures import PictureReader

TOLERANCE = 0.1
"""How far a row may be from one that was computed without what stands behind it, as a share of its length: in half
precision a text of another length is rounded otherwise."""

ROWS_OF_A_PICTURE = 2
"""A picture has a row at least, and another that ends it."""


def begun_by_pictures(reader: PictureReader, contexts: Sequence[Tensor], rows: int) -> list[Tensor]:
    """Those of contexts (1 or B, L, D) that begin with a picture and have room for a prompt behind it.

    Args:
        reader: the text encoder.
        contexts: each once.
        rows: of the prompt and of the template behind it.

    Raises:
        ValueError: if there are several, since what stands behind a picture cannot be compared with the prompt.
    """
    found: list[Tensor] = []
    for beginning in reader.beginnings() if any(context.shape[1] > rows for context in contexts) else ():
        before = len(beginning) + ROWS_OF_A_PICTURE
        found += [one for one in contexts if one.shape[1] >= before + rows and _begins(one[0], beginning)]
    if len(found) > 1:
        raise ValueError(
            f"{len(found)} CONDITIONINGs with pictures belong to this, and rows behind a picture do not say which text "
            "they are: connect the one that holds this text as conditioning"
        )
    return found


def counted_from_end(text: TokenizedText, length: int) -> TokenizedText:
    """A text whose rows are the last ones of ``length``."""
    before = length - text.length
    tokens = tuple(replace(token, position=before + token.position) for token in text.tokens)
    return replace(text, tokens=tokens, end=before + text.end, length=length)


def _begins(context: Tensor, beginning: Tensor) -> bool:
    """Whether a context (L, D) begins with these rows (n, D)."""
    if context.shape[-1] != beginning.shape[-1]:
        return False
    known = beginning.float().cpu()
    apart = torch.linalg.vector_norm(context[: len(known)].float().cpu() - known, dim=-1)
    return bool((apart <= TOLERANCE * torch.linalg.vector_norm(known, dim=-1)).all())
