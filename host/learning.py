"""What learning needs of a host: progress with pictures, cancel, and start words as people write them."""

from collections.abc import Sequence

import torch

from ..core.backbone import Backbone
from ..core.learn.settings import OnStep
from ..core.types import ConceptTokens
from .progress import start_progress
from .token_previews import draw_tokens


def reporter(
    backbone: Backbone, template: str, size: tuple[int, int], preview_every: int, node_id: str | None
) -> OnStep:
    """A callback that shows every step, draws the tokens every so many (0: never) and stops a cancelled run."""
    progress = start_progress(node_id)

    def report(step: int, total: int, loss: float, tokens: ConceptTokens) -> None:
        due = preview_every > 0 and (step % preview_every == 0 or step == total)
        with torch.no_grad():
            preview = draw_tokens(backbone, tokens, template, size) if due else None
        progress(step, total, preview)

    return report


def parse_words(text: str, names: Sequence[str]) -> dict[str, str]:
    """``"1=fruit, cat=kitten"`` to a word per concept.

    Raises:
        ValueError: for entries without ``=``, and for names that are no concept.
    """
    words: dict[str, str] = {}
    for entry in (part.strip() for part in text.split(",") if part.strip()):
        name, equals, word = (part.strip() for part in entry.partition("="))
        name = name.strip("<>")
        if not equals or not word:
            raise ValueError(f"start words are written as concept=word, separated by commas; got {entry!r}")
        if name not in names:
            raise ValueError(f"start words name a concept {name!r}; there are {', '.join(names)}")
        words[name] = word
    return words
