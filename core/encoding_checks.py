"""Whether a text encoder gave numbers."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .messages import listed, shown


def check_encoded(context: Tensor, texts: Sequence[str], learnt: Iterable[str] = ()) -> None:
    """Raise ``ValueError`` for an encoding (B, L, D) of B texts that is not finite, naming the first such text.

    Args:
        learnt: the placeholders that texts may name; vectors that are far too large are the usual cause.
    """
    finite = torch.isfinite(context).flatten(1).all(1).tolist()
    for text, good in zip(texts, finite, strict=True):
        if not good:
            named = [f"{mark}" for mark in learnt if mark in text]
            why = f"the vectors of {listed(named)} are far too large or damaged, learn or load them again"
            other = (
                "a weight in it is far too large, or the model is damaged" if ":" in text else "the model is damaged"
            )
            raise ValueError(
                f"the text encoder gives values that are not finite for {shown(text)}: " + (why if named else other)
            )
